import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pretendSubject } from '../../../../tests/support/pretend-proc.ts';
import { type KernelLine, parseKmsgRecord, parsePlainLine, pciIn, pidIn, xidIn } from './kernel-lines.ts';
import { type KernelLogOptions, KernelLogSource } from './kernel-log.ts';

const XID = 'NVRM: Xid (PCI:0000:3b:00): 79, pid=<unknown>, name=<unknown>, GPU has fallen off the bus.';
const KILLED =
  'Memory cgroup out of memory: Killed process 4711 (VLLM::EngineCor) total-vm:81234567kB, anon-rss:1kB';

/** The machine started 1000 s before our clock did. */
function source(over: Partial<KernelLogOptions> = {}) {
  const incoming: KernelLine[] = [];
  const state = { nowMs: 100_000, problem: null as string | null };
  const log = new KernelLogSource({
    nowMs: () => state.nowMs,
    machineMs: () => state.nowMs + 1_000_000,
    open: () => ({
      take: () => incoming.splice(0),
      get problem() {
        return state.problem;
      },
      hasMachineTime: true,
      close: () => {},
    }),
    ...over,
  });
  /** A line of `secondsAgo`. */
  const say = (text: string, secondsAgo = 0) =>
    incoming.push({ text, bootS: 1000 + state.nowMs / 1000 - secondsAgo });
  return { log, say, state };
}

describe('kernel log', () => {
  it('tells lines since the start of the engine, once, and none that concerns no engine', async () => {
    const { log, say } = source();
    const subject = pretendSubject({ startedAtMs: 50_000 });
    say(XID, 60);
    say(XID, 10);
    say('usb 1-1: new high-speed USB device');
    expect(await log.look(subject)).toEqual({ kernelLines: [XID] });
    expect(await log.look(subject)).toEqual({});
    say(`${XID} again`);
    expect(log.lookLast(subject)).toEqual({ kernelLines: [`${XID} again`] });
    // Another replica is told all three; the next process of the same one nothing of what its predecessor was told.
    expect((await log.look(pretendSubject({ replica: 'm/1' }))).kernelLines).toHaveLength(3);
    expect(await log.look(pretendSubject({ generation: 3, startedAtMs: 100_500 }))).toEqual({});
    say(`${XID} once more`);
    expect(await log.look(pretendSubject({ generation: 3, startedAtMs: 100_500 }))).toEqual({
      kernelLines: [`${XID} once more`],
    });
  });

  it('keeps a kill from engines that did not have the process, unless the pids are those of another namespace', async () => {
    const options = {
      pidsOf: ({ replica }: { replica: string }) => new Set([replica === 'm/0' ? 4711 : 1]),
    };
    for (const [samePids, others] of [
      [true, {}],
      [false, { kernelLines: [KILLED] }],
    ] as const) {
      const { log, say } = source({ ...options, samePids });
      say(KILLED);
      expect(await log.look(pretendSubject())).toEqual({ kernelLines: [KILLED] });
      expect(await log.look(pretendSubject({ replica: 'm/1' }))).toEqual(others);
    }
  });

  it('keeps a lost GPU from engines that use others, however the address is written', async () => {
    const { log, say } = source({
      pciBusIdsOf: ({ replica }) =>
        replica === 'm/0' ? ['00000000:3B:00.0'] : replica === 'm/1' ? ['00000000:5E:00.0'] : null,
    });
    say(XID);
    expect(await log.look(pretendSubject())).toEqual({ kernelLines: [XID] });
    expect(await log.look(pretendSubject({ replica: 'm/1' }))).toEqual({});
    expect(await log.look(pretendSubject({ replica: 'm/2' }))).toEqual({ kernelLines: [XID] });
    expect([...log.xidsSince(pretendSubject())]).toEqual([['0000:3b:00', 79]]);
  });

  it('says that it may not read the log, and what is missing for it', async () => {
    const { log, state } = source();
    state.problem = '/dev/kmsg may not be read (EPERM)';
    expect(await log.look(pretendSubject())).toEqual({
      unavailable: [expect.stringMatching(/^kernel log: \/dev\/kmsg may not be read \(EPERM\); without it/)],
    });
  });
});

describe('a file as kernel log', () => {
  it('gives what is appended from now on, also to a file that comes later, is cut, or is put anew', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'autoglm-kmsg-'));
    try {
      const file = join(folder, 'kmsg');
      writeFileSync(file, `[    1.0] ${XID} long ago\n`);
      const log = new KernelLogSource({ nowMs: () => 5, machineMs: () => 9_999_999, file });
      const look = async () => (await log.look(pretendSubject())).kernelLines ?? [];
      expect(await look()).toEqual([]);
      appendFileSync(file, `[    2.0] ${XID}\n[    2.1] ${KILLED.slice(0, 20)}`);
      expect(await look()).toEqual([`[    2.0] ${XID}`]);
      appendFileSync(file, `${KILLED.slice(20)}\n`);
      expect(await look()).toEqual([`[    2.1] ${KILLED}`]);
      writeFileSync(file, `[    3.0] ${XID}\n`);
      expect(await look()).toEqual([`[    3.0] ${XID}`]);
      renameSync(file, join(folder, 'old'));
      expect(await look()).toEqual([]);
      writeFileSync(file, `[    4.0] ${XID}\n`);
      expect(await look()).toEqual([`[    4.0] ${XID}`]);
      log.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('lines', () => {
  it('reads records of /dev/kmsg as dmesg shows them, without their details', () => {
    expect(parseKmsgRecord(`3,1234,812000123,-;${XID}\n SUBSYSTEM=pci\n DEVICE=+pci:x\n`)).toEqual({
      text: `[  812.000123] ${XID}`,
      bootS: 812.000123,
    });
    expect(parseKmsgRecord('6,1,5,-,caller=T1;a\\x0ab\n')?.text).toBe('[    0.000005] a b');
    expect(parseKmsgRecord('nonsense')).toBeUndefined();
    expect(parsePlainLine('[ 31.5] x').bootS).toBe(31.5);
    expect(parsePlainLine('x').bootS).toBeNull();
  });

  it('finds process, device and number', () => {
    expect(pidIn(KILLED)).toBe(4711);
    expect(pidIn('[ 1.0] oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/x,task=python3,pid=12,uid=0')).toBe(
      12,
    );
    expect(pidIn('[ 1.0] llama-server[47]: segfault at 18 ip 00007f')).toBe(47);
    expect(pidIn('[ 1.0] python3 invoked oom-killer: order=0')).toBeNull();
    expect(pciIn(XID)).toBe('0000:3b:00');
    expect(pciIn('Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error')).toBe(
      '0000:3b:00',
    );
    expect(pciIn('NVRM: GPU 0000:3b:00.0: RmInitAdapter failed!')).toBe('0000:3b:00');
    expect(xidIn(XID)).toBe(79);
  });
});
