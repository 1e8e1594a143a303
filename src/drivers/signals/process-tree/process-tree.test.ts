import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PretendProc, pretendSubject } from '../../../../tests/support/pretend-proc.ts';
import type { ProcessFacts } from '../../../contract/signals.ts';
import { isUnexpected } from './engine-programs.ts';
import { ProcessTable } from './process-table.ts';
import { ProcessTreeSource } from './process-tree.ts';

let proc: PretendProc;
let nowMs: number;
let source: ProcessTreeSource;
const signal = new AbortController().signal;
const TAG = 'abc:replica:m/0#2#8000#ff';
const OLD_TAG = 'abc:replica:m/0#1#8000#ff';

beforeEach(() => {
  proc = new PretendProc();
  nowMs = 0;
  const table = new ProcessTable({ nowMs: () => nowMs, root: proc.root });
  source = new ProcessTreeSource({ table, gpuBytesByPid: () => new Map([[300, 12 * 2 ** 30]]) });
  proc.set({ pid: 100, owner: TAG, cpuTicks: 100, rssKib: 1000, sharedKib: 400 });
});
afterEach(() => proc[Symbol.dispose]());

async function look(over = {}): Promise<ProcessFacts> {
  const { processes } = await source.look(pretendSubject(over), signal);
  nowMs += 2_000;
  return processes!;
}

function worker(pid: number, title: string, over = {}): void {
  proc.set({ pid, name: title.slice(0, 15), parentId: 100, owner: TAG, command: [title], ...over });
}

describe('process tree', () => {
  it('is the group, descendants in groups of their own, and what wears the tag of this start', async () => {
    worker(101, 'VLLM::EngineCore', { groupId: 101, rssKib: 900, sharedKib: 400 });
    worker(102, 'VLLM::Worker_TP0', { parentId: 101, groupId: 102, program: '/usr/bin/python3' });
    proc.set({ pid: 103, parentId: 1, groupId: 103, owner: TAG });
    proc.set({ pid: 104, parentId: 50, groupId: 100 });
    proc.set({ pid: 200, owner: 'abc:replica:m/1#2#8001#ff' });
    proc.set({ pid: 201 });
    proc.set({ pid: 105, parentId: 100, state: 'Z' });
    const facts = await look();
    expect(facts).toMatchObject({ wrapperAlive: true, processCount: 5, orphans: [], stopped: [] });
    // 600 + 500 + three times 1024 of their own, and 400 that two of them share.
    expect(facts.rssBytes).toBe((600 + 500 + 3 * 1024 + 400) * 1024);
  });

  it('measures processors between two looks, the main process by itself', async () => {
    worker(101, 'VLLM::EngineCore', { cpuTicks: 50 });
    expect((await look()).treeCpuRatio).toBeUndefined();
    proc.set({ pid: 100, owner: TAG, cpuTicks: 150 });
    worker(101, 'VLLM::EngineCore', { cpuTicks: 250 });
    const facts = await look();
    expect(facts.frontendCpuRatio).toBeCloseTo(0.25);
    expect(facts.treeCpuRatio).toBeCloseTo(1.25);
  });

  it('misses a worker that is gone while the wrapper lives, until another one of its name has come', async () => {
    worker(101, 'VLLM::EngineCore');
    worker(102, 'VLLM::Worker_TP1');
    expect((await look()).missing).toEqual([]);
    proc.remove(102);
    expect((await look()).missing).toEqual(['VLLM::Worker_TP1']);
    worker(101, 'VLLM::EngineCore', { state: 'Z' });
    expect((await look()).missing).toEqual(['VLLM::Worker_TP1', 'VLLM::EngineCore']);
    worker(105, 'VLLM::Worker_TP1');
    expect((await look()).missing).toEqual(['VLLM::EngineCore']);
    // The next start begins anew.
    expect((await look({ generation: 3 })).missing).toEqual([]);
  });

  it('misses a child without a title only when it lived long and nothing replaces it, and no tool at all', async () => {
    const child = (pid: number, program = 'python3') =>
      proc.set({ pid, parentId: 100, groupId: 100, name: program, program: `/usr/bin/${program}` });
    child(101);
    child(102, 'nvcc');
    await look();
    proc.remove(101);
    nowMs += 10_000;
    expect((await look()).missing).toEqual([]);
    child(103);
    await look();
    nowMs += 70_000;
    await look();
    proc.remove(102);
    proc.remove(103);
    expect((await look()).missing).toEqual([]);
    nowMs += 5_000;
    expect((await look()).missing).toEqual(['python3']);
    // An engine whose runners come and go misses none of them.
    child(104);
    await look({ engine: 'ollama', generation: 7 });
    nowMs += 70_000;
    await look({ engine: 'ollama', generation: 7 });
    proc.remove(104);
    nowMs += 10_000;
    expect((await look({ engine: 'ollama', generation: 7 })).missing).toEqual([]);
  });

  it('finds what former starts left behind, with their memory of GPUs', async () => {
    proc.set({
      pid: 300,
      name: 'VLLM::EngineCor',
      owner: OLD_TAG,
      groupId: 90,
      command: ['VLLM::EngineCore'],
      startTicks: 9,
    });
    proc.set({ pid: 301, owner: 'abc:replica:m/0#3#8000#ff' });
    // Without a tag: its parent is gone, it is older than the engine, and it calls itself a worker.
    proc.set({ pid: 302, name: 'VLLM::Worker_TP', command: ['VLLM::Worker_TP0'], startTicks: 10 });
    proc.set({ pid: 303, name: 'VLLM::Worker_TP', command: ['VLLM::Worker_TP0'], startTicks: 9999 });
    proc.set({
      pid: 304,
      name: 'VLLM::Worker_TP',
      command: ['VLLM::Worker_TP0'],
      startTicks: 10,
      parentId: 50,
    });
    expect((await look()).orphans).toEqual([
      { pid: 300, name: 'VLLM::EngineCore', gpuBytes: 12 * 2 ** 30 },
      { pid: 302, name: 'VLLM::Worker_TP0' },
    ]);
  });

  it('finds processes that are stopped, and not those that a debugger looks at', async () => {
    worker(101, 'VLLM::EngineCore', { state: 'T' });
    worker(102, 'VLLM::Worker_TP0', { state: 't' });
    expect((await look()).stopped).toEqual([101]);
  });

  it('finds a shell below an engine and shows no secret of its command', async () => {
    proc.set({
      pid: 101,
      name: 'sh',
      parentId: 100,
      groupId: 100,
      command: ['sh', '-c', 'curl -H "Authorization: Bearer abc" http://x'],
    });
    const { unexpected } = await look();
    expect(unexpected).toEqual([{ pid: 101, name: 'sh', command: expect.stringContaining('curl') }]);
    expect(unexpected?.[0]?.command).not.toContain('abc');
  });

  it('says that the wrapper is gone, and takes no stranger with its pid for it', async () => {
    proc.set({ pid: 100, startTicks: 999_999 });
    expect(await look()).toMatchObject({ wrapperAlive: false, processCount: 0 });
  });

  it('says so when there is no /proc, and is silent about engines that run elsewhere', async () => {
    const table = new ProcessTable({ nowMs: () => 0, root: '/nowhere/proc' });
    const reading = await new ProcessTreeSource({ table }).look(pretendSubject(), signal);
    expect(reading).toEqual({
      unavailable: [expect.stringContaining('/nowhere/proc cannot be read')],
    });
    expect(await source.look(pretendSubject({ process: null }), signal)).toEqual({});
  });

  it('walks once for all who ask at one moment', async () => {
    const table = new ProcessTable({ nowMs: () => nowMs, root: proc.root });
    const [one, two] = await Promise.all([table.read(), table.read()]);
    expect(one).toBe(two);
    expect(await table.read()).toBe(one);
    nowMs += 1_000;
    expect(await table.read()).not.toBe(one);
  });

  it('reads the owner again when a process was still on its way from fork to exec', async () => {
    proc.set({ pid: 150, owner: OLD_TAG, startTicks: 1 });
    expect((await look()).orphans).toHaveLength(1);
    proc.set({ pid: 150, owner: 'someone', startTicks: 1 });
    expect((await look()).orphans).toEqual([]);
  });
});

describe('programs', () => {
  const started = { engine: 'vllm', command: '', parentProgram: 'python3', mainProgram: 'python3' };
  const isBad = (program: string, over = {}) => isUnexpected({ ...started, program, ...over });

  it('lets engines compile and ask the machine', () => {
    for (const program of ['python3', 'nvcc', 'gcc-12', 'ninja', 'ray', 'ldconfig'])
      expect(isBad(program), program).toBe(false);
    expect(isBad('sh', { parentProgram: 'ninja', command: 'sh -c gcc a.c && rm b' })).toBe(false);
    expect(isBad('sh', { command: '/bin/sh -c /sbin/ldconfig -p' })).toBe(false);
  });

  it('finds shells, fetchers and strangers', () => {
    for (const program of ['bash', 'sh', 'curl', 'nc', 'xmrig']) expect(isBad(program), program).toBe(true);
    expect(isBad('sh', { command: 'sh -c ldconfig -p; curl x' })).toBe(true);
  });

  it('knows no strangers of an engine that it does not know, but shells', () => {
    expect(isBad('xmrig', { engine: 'openai' })).toBe(false);
    expect(isBad('bash', { engine: 'openai' })).toBe(true);
    // A person who starts the engine by a script has a shell on top.
    expect(isBad('bash', { engine: 'openai', mainProgram: 'bash' })).toBe(false);
  });
});
