/** The rules of all engines against the lines that they were written for, against engines that are well, and against hostile lines. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readPattern } from '../../contract/bounded-pattern.ts';
import type { LogKnowledge } from '../../contract/log-rule.ts';
import { createLineReader } from '../../decide/diagnosis/line-reader.ts';
import { causeAmong } from '../../decide/diagnosis/log-cause.ts';
import { LogScan } from '../../decide/diagnosis/log-scan.ts';
import { LINE_CHARACTERS_MAX } from '../../decide/diagnosis/plain-line.ts';
import type { DialectLog } from '../../simulator/engine-log.ts';
import { FAILURE_LOGS } from '../../simulator/faults/failure-logs.ts';
import { llamaServerLog } from '../../simulator/logs/llama-server.ts';
import { ollamaLog } from '../../simulator/logs/ollama.ts';
import { sglangLog } from '../../simulator/logs/sglang.ts';
import { tgiLog } from '../../simulator/logs/tgi.ts';
import { tritonLog } from '../../simulator/logs/triton.ts';
import { vllmLog } from '../../simulator/logs/vllm.ts';
import {
  LOGGED_ENGINES,
  type LoggedEngine,
  loadAllLogKnowledge,
  loadLogKnowledge,
  loadLogRules,
  readLogRuleFile,
  SHARED_LOG_RULES,
} from './log-rules.ts';

const SIMULATED_LOGS: Partial<Record<LoggedEngine, DialectLog>> = {
  vllm: vllmLog,
  sglang: sglangLog,
  tgi: tgiLog,
  'llama-server': llamaServerLog,
  ollama: ollamaLog,
  triton: tritonLog,
};

const FILES = [...LOGGED_ENGINES, ...SHARED_LOG_RULES];
const rulesAlone = (name: string): LogKnowledge => ({
  rules: readLogRuleFile(name).rules,
  markers: [],
  samples: [],
});

function causeOf(lines: readonly string[], knowledge: LogKnowledge): string | undefined {
  const scan = new LogScan(createLineReader(knowledge));
  for (const line of lines) scan.push(line);
  return causeAmong(scan.result().attempts.flatMap(({ findings }) => findings))?.class;
}

it('are read, all of them', () => {
  const folder = new URL('log-rules/', import.meta.url);
  expect(readdirSync(folder).sort()).toEqual(FILES.map((name) => `${name}.yaml`).sort());
});

describe.each(FILES)('the rules of %s', (name) => {
  const { rules, markers, samples, healthy } = readLogRuleFile(name);
  const read = createLineReader(rulesAlone(name));

  it.each(
    rules.flatMap((rule) => rule.examples.map((line) => [rule.id, line] as const)),
  )('%s knows its line: %s', (id, line) => {
    expect(read(line).rule?.id).toBe(id);
  });

  it('has markers and samples that know their lines', () => {
    const strangers = [...markers, ...samples].flatMap(({ pattern, examples }) =>
      examples.filter((line) => !new RegExp(pattern).test(line)),
    );
    expect(strangers).toEqual([]);
  });

  it('say nothing of an engine that is well', () => {
    expect(healthy.filter((line) => read(line).rule !== null)).toEqual([]);
    if (name !== 'cuda' && name !== 'kv-transfer') expect(healthy.length).toBeGreaterThan(4);
  });
});

it.each(
  LOGGED_ENGINES,
)('%s: ids are unique with all that is included, and healthy lines stay unmatched', (name) => {
  const rules = loadLogRules(name);
  expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length);
  const read = createLineReader({ rules, markers: [], samples: [] });
  const healthy = FILES.flatMap((file) => readLogRuleFile(file).healthy);
  expect(healthy.filter((line) => read(line).rule !== null)).toEqual([]);
});

it.each([
  ['sglang', 'sglang-busy-health', 'busy'],
  ['sglang', 'sglang-child-dead', 'cuda-sticky-error'],
  ['tgi', 'tgi-shard-killed', 'child-dead'],
  ['llama-server', 'llama-server-assert', 'engine-core-dead'],
  ['ollama', 'ollama-runner-dead', 'child-dead'],
  ['triton', 'cuda-oom', 'gpu-out-of-memory'],
  ['triton', 'triton-shared-memory', 'shared-memory-too-small'],
] as const)('%s: %s is %s', (engine, name, expected) => {
  expect(causeOf(FAILURE_LOGS[name], loadLogKnowledge(engine))).toBe(expected);
});

it.each(
  Object.entries(SIMULATED_LOGS) as [LoggedEngine, DialectLog][],
)('%s: no line of a start or of work is taken for a fault', (engine, log) => {
  const read = createLineReader(loadLogKnowledge(engine));
  const phases = Object.values(log.phases).flatMap(({ begin, end }) => [...begin('org/model'), end('1.0')]);
  const lines = [...phases, log.listening('http://127.0.0.1:8000'), log.stopping].map(([place, text]) =>
    log.line(new Date(0), 'INFO', place, text),
  );
  expect(lines.length).toBeGreaterThan(5);
  expect(lines.filter((line) => read(line).rule !== null)).toEqual([]);
  const markers = new Set(lines.flatMap((line) => read(line).markers));
  expect([...markers].sort()).toEqual(expect.arrayContaining(['phase', 'ready']));
});

it('finds the cause in every failure that the simulator can print, and not the cascade that follows it', () => {
  const knowledge = { ...loadLogKnowledge('vllm') };
  const both = { ...knowledge, rules: [...knowledge.rules, ...readLogRuleFile('sglang').rules] };
  const causes = Object.fromEntries(
    Object.entries(FAILURE_LOGS).map(([name, lines]) => [name, causeOf(lines, both)]),
  );
  expect(causes).toMatchObject({
    'engine-core-dead': 'engine-core-dead',
    'cuda-illegal-access': 'cuda-sticky-error',
    'cuda-launch-failure': 'cuda-sticky-error',
    'cuda-device-assert': 'cuda-sticky-error',
    'cuda-oom': 'gpu-out-of-memory',
    'start-memory-taken': 'no-memory-at-start',
    'start-no-cache-blocks': 'no-memory-at-start',
    'start-context-too-long': 'no-memory-at-start',
    'host-oom-kill': 'killed-from-outside',
    'nccl-timeout': 'collective-timeout',
    'rpc-timeout': 'engine-rpc-timeout',
    'shm-broadcast': 'shared-memory-heartbeat',
    'watchdog-timeout': 'watchdog-timeout',
    'driver-not-ready': 'driver-not-ready',
    'network-transient': 'network-transient',
    'shm-too-small': 'shared-memory-too-small',
    poison: 'poison-request',
    'missing-weights': 'bad-configuration',
  });
});

describe('hostile lines', () => {
  const { rules, markers, samples } = loadAllLogKnowledge();
  const patterns = [...rules, ...markers, ...samples];
  /** Of any pattern on any of the lines; a pattern that backtracks badly takes seconds. The best of some runs counts: others use this machine. */
  const MS_MAX = 25;

  it('take no pattern longer than a moment', () => {
    const slow = patterns.flatMap(({ pattern, examples }) => {
      const regexp = new RegExp(pattern);
      const literals = readPattern(pattern).literals;
      const pieces = [
        ...literals,
        ...examples.map((line) => line.slice(0, 40)),
        'a',
        '0',
        ' ',
        '"',
        '(',
        '\u0130',
      ];
      const hostile = pieces.flatMap((piece) => [
        fill(piece),
        fill(`${piece} `),
        `${fill('9').slice(0, LINE_CHARACTERS_MAX / 2)}${fill(piece).slice(0, LINE_CHARACTERS_MAX / 2)}`,
      ]);
      const once = () => time(() => hostile.map((line) => regexp.test(line))) / hostile.length;
      const took = [1, 2, 3].reduce((best) => (best <= MS_MAX ? best : Math.min(best, once())), once());
      return took > MS_MAX ? [{ pattern, took }] : [];
    });
    expect(slow).toEqual([]);
  });

  it('are read by all rules together in time that grows with their length alone', () => {
    const read = createLineReader({ rules, markers, samples });
    const literals = patterns.flatMap(({ pattern }) => readPattern(pattern).literals);
    const line = literals.join(' ');
    const took = Math.min(...[1, 2, 3].map(() => time(() => read(line.slice(0, LINE_CHARACTERS_MAX)))));
    expect(took).toBeLessThan(200);
    expect(time(() => read('x'.repeat(5_000_000)))).toBeLessThan(200);
  });

  it('find with the filter what the patterns find without it', () => {
    const read = createLineReader({ rules, markers: [], samples: [] });
    const missed = rules.flatMap((rule) =>
      rule.examples.filter(
        (line) =>
          read(`2026-11-21 ${line} and more`).rule === null &&
          new RegExp(rule.pattern).test(`2026-11-21 ${line} and more`),
      ),
    );
    expect(missed).toEqual([]);
  });
});

function fill(piece: string): string {
  return piece.repeat(Math.ceil(LINE_CHARACTERS_MAX / piece.length)).slice(0, LINE_CHARACTERS_MAX);
}

function time(work: () => unknown): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}

it('names the file and the place when a file is not as it should be', () => {
  expect(() => readLogRuleFile('no-such')).toThrow(/no-such\.yaml/);
});
