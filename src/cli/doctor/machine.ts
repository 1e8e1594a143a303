/** Node, memory, descriptors and kernel settings. */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { type Check, type Finding, fail, ok, warn } from './finding.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** A node process, a gateway and two embedded replicas of the demo model together. */
const MEMORY_FAIL_BYTES = 512 * MIB;
const MEMORY_WARN_BYTES = 2 * GIB;
/** Each stream holds two sockets. */
const DESCRIPTORS_WARN = 4096;
const DESCRIPTORS_FAIL = 256;

export const checkMachine: Check = () => [
  checkNode(process.versions.node),
  checkMemory(process.availableMemory(), totalmem()),
  ok('processor', `${availableParallelism()} cores`),
  checkDescriptors(descriptorLimit(read('/proc/self/limits'))),
  checkMigration(read('/proc/sys/net/ipv4/tcp_migrate_req').trim()),
];

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 24) {
    const remedy = 'install Node 24: `npm ci` brings it in a checkout, else nodejs.org or `nvm install 24`';
    return fail('Node', `${version}; 24 or later is needed`, remedy);
  }
  return ok('Node', `${major}.${minor} at ${process.execPath}`);
}

export function checkMemory(availableBytes: number, totalBytes: number): Finding {
  const found = `${(availableBytes / GIB).toFixed(1)} GiB of ${(totalBytes / GIB).toFixed(1)} GiB available`;
  const remedy = 'end other programs, or give the machine or container more memory';
  if (availableBytes < MEMORY_FAIL_BYTES) return fail('memory', found, remedy);
  return availableBytes < MEMORY_WARN_BYTES ? warn('memory', found, remedy) : ok('memory', found);
}

/** Soft limit of open files in the text of /proc/self/limits; undefined where there is none. */
export function descriptorLimit(limits: string): number | undefined {
  const found = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return found === undefined ? undefined : found === 'unlimited' ? Number.POSITIVE_INFINITY : Number(found);
}

export function checkDescriptors(limit: number | undefined): Finding {
  const check = 'open files';
  if (limit === undefined) return ok(check, 'the limit cannot be read on this platform');
  const found = `at most ${limit}`;
  const remedy = 'raise it: `ulimit -n 65536` in the shell, or LimitNOFILE=65536 in the systemd unit';
  if (limit < DESCRIPTORS_FAIL) return fail(check, found, remedy);
  return limit < DESCRIPTORS_WARN ? warn(check, `${found}; each stream takes two`, remedy) : ok(check, found);
}

export function checkMigration(setting: string): Finding {
  const check = 'net.ipv4.tcp_migrate_req';
  if (setting === '') return ok(check, 'not on this platform');
  if (setting !== '0') return ok(check, setting);
  return warn(
    check,
    '0: when a gateway process or thread ends, connections that it had not yet accepted are reset',
    '`sudo sysctl -w net.ipv4.tcp_migrate_req=1`, and the same line without -w in /etc/sysctl.d/',
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
