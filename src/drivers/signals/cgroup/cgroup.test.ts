import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pretendSubject } from '../../../../tests/support/pretend-proc.ts';
import { CgroupSource } from './cgroup.ts';

let root: string;
let nowMs = 0;
const open = () => new CgroupSource({ root, nowMs: () => nowMs });
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'autoglm-cgroup-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  const file = join(root, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
}

/** As the kernel prints it; the folder of the mount lies below the root of the test. */
const V2_MOUNT = () =>
  `31 23 0:28 / ${root}/cg rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n`;
const V1_MOUNTS = (at = '/') =>
  `31 23 0:28 / ${root}/cg rw - tmpfs tmpfs rw,mode=755\n` +
  `32 31 0:29 / ${root}/cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n` +
  `35 31 0:32 ${at} ${root}/cg/memory rw - cgroup cgroup rw,memory\n` +
  `41 31 0:38 / ${root}/cg/unified rw - cgroup2 cgroup2 rw\n`;

function v2Group(folder: string, values: { kills: number; max: string; current: number; idle?: number }) {
  write(
    `cg/${folder}/memory.events`,
    `low 0\nhigh 0\nmax 12\noom 1\noom_kill ${values.kills}\noom_group_kill 0\n`,
  );
  write(`cg/${folder}/memory.max`, `${values.max}\n`);
  write(`cg/${folder}/memory.current`, `${values.current}\n`);
  write(
    `cg/${folder}/memory.stat`,
    `anon 1000\nfile 500\ninactive_anon 9\ninactive_file ${values.idle ?? 0}\n`,
  );
}

it('counts kills since the engine was first seen, with the tightest limit above it (version 2)', async () => {
  write('self/mountinfo', V2_MOUNT());
  write('100/cgroup', '0::/app.slice/engine.scope\n');
  v2Group('app.slice', { kills: 9, max: '4000', current: 3000 });
  v2Group('app.slice/engine.scope', { kills: 2, max: 'max', current: 2000, idle: 300 });
  const source = open();
  const first = await source.look(pretendSubject());
  expect(first).toEqual({ oomKills: 0, memoryLimitBytes: 4000, memoryUsedBytes: 1700 });
  v2Group('app.slice/engine.scope', { kills: 3, max: '2500', current: 2400 });
  // The process is gone, and its cgroup is still there.
  rmSync(join(root, '100'), { recursive: true });
  expect(source.lookLast(pretendSubject())).toMatchObject({ oomKills: 1, memoryLimitBytes: 2500 });
  expect(await source.look(pretendSubject())).toMatchObject({ oomKills: 1 });
});

it('reads version 1, also where version 2 is mounted beside it without the controller of memory', async () => {
  write('self/mountinfo', V1_MOUNTS());
  write('100/cgroup', '9:name=systemd:/\n4:memory:/engines/e0\n1:cpu,cpuacct:/\n0::/\n');
  write('cg/memory/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 0\n');
  write('cg/memory/memory.limit_in_bytes', '9223372036854771712\n');
  write('cg/memory/engines/e0/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 5\n');
  write('cg/memory/engines/e0/memory.limit_in_bytes', '1073741824\n');
  write('cg/memory/engines/e0/memory.usage_in_bytes', '900\n');
  write('cg/memory/engines/e0/memory.stat', 'cache 10\nrss 1\ntotal_inactive_file 100\n');
  const source = open();
  expect(await source.look(pretendSubject())).toEqual({
    oomKills: 0,
    memoryLimitBytes: 1073741824,
    memoryUsedBytes: 800,
  });
});

it('finds its way in a container that sees its own part of the hierarchy', async () => {
  write('self/mountinfo', V1_MOUNTS('/docker/abc'));
  write('100/cgroup', '4:memory:/docker/abc\n');
  write('cg/memory/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n');
  write('cg/memory/memory.limit_in_bytes', '5000\n');
  const source = open();
  expect(await source.look(pretendSubject())).toEqual({ oomKills: 0, memoryLimitBytes: 5000 });
});

it('begins anew with each start, and says nothing of one that it never saw', async () => {
  write('self/mountinfo', V2_MOUNT());
  write('100/cgroup', '0::/e\n');
  v2Group('e', { kills: 2, max: 'max', current: 1 });
  const source = open();
  await source.look(pretendSubject());
  v2Group('e', { kills: 3, max: 'max', current: 1 });
  expect(await source.look(pretendSubject({ generation: 3 }))).toMatchObject({ oomKills: 0 });
  expect(source.lookLast(pretendSubject({ generation: 4 }))).toEqual({ oomKills: null });
});

it('says that there is no cgroup, and that a counter is unknown, never 0', async () => {
  const source = open();
  expect(await source.look(pretendSubject())).toEqual({
    oomKills: null,
    unavailable: [expect.stringMatching(/^cgroup: no memory cgroup/)],
  });
  // Kernels before 4.13 do not count.
  write('self/mountinfo', V1_MOUNTS());
  write('100/cgroup', '4:memory:/\n');
  write('cg/memory/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\n');
  expect(await source.look(pretendSubject())).toEqual({ oomKills: null });
});

it('forgets a kill of another engine in the same cgroup after a while, and not one in a cgroup of its own', async () => {
  write('self/mountinfo', V2_MOUNT());
  write('self/cgroup', '0::/node\n');
  write('100/cgroup', '0::/engines\n');
  write('101/cgroup', '0::/engines\n');
  v2Group('engines', { kills: 0, max: 'max', current: 1 });
  const other = pretendSubject({ replica: 'm/1', process: { pid: 101, startTicks: 1 } });
  const source = open();
  await source.look(other);
  await source.look(pretendSubject());
  v2Group('engines', { kills: 1, max: 'max', current: 1 });
  expect(await source.look(pretendSubject())).toMatchObject({ oomKills: 1 });
  nowMs += 61_000;
  expect(await source.look(pretendSubject())).toMatchObject({ oomKills: 0 });
  const alone = open();
  v2Group('engines', { kills: 0, max: 'max', current: 1 });
  await alone.look(pretendSubject());
  v2Group('engines', { kills: 1, max: 'max', current: 1 });
  await alone.look(pretendSubject());
  nowMs += 61_000;
  expect(await alone.look(pretendSubject())).toMatchObject({ oomKills: 1 });
});
