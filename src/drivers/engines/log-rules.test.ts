/** The rules of all engines against the lines that they were written for, and against lines of engines that are well. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FAULT_CLASSES } from '../../contract/log-rule.ts';
import { lineMatcher, readLog } from '../../decide/recovery/read-log.ts';
import type { DialectLog } from '../../simulator/engine-log.ts';
import { FAILURE_LOGS } from '../../simulator/faults/failure-logs.ts';
import { llamaServerLog } from '../../simulator/logs/llama-server.ts';
import { ollamaLog } from '../../simulator/logs/ollama.ts';
import { sglangLog } from '../../simulator/logs/sglang.ts';
import { tgiLog } from '../../simulator/logs/tgi.ts';
import { tritonLog } from '../../simulator/logs/triton.ts';
import { vllmLog } from '../../simulator/logs/vllm.ts';
import { loadLogRules, readLogRuleFile } from './log-rules.ts';

const SIMULATED_LOGS: Record<string, DialectLog> = {
  vllm: vllmLog,
  sglang: sglangLog,
  tgi: tgiLog,
  'llama-server': llamaServerLog,
  ollama: ollamaLog,
  triton: tritonLog,
};

const ENGINES = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama', 'triton'];
const FILES = [...ENGINES, 'cuda'];

describe.each(FILES)('the rules of %s', (name) => {
  const { rules, healthy } = readLogRuleFile(name);
  const match = lineMatcher(rules);

  it.each(
    rules.flatMap((rule) => rule.examples.map((line) => [rule.id, line] as const)),
  )('%s knows its line: %s', (id, line) => {
    expect(match(line)?.id).toBe(id);
  });

  it('say nothing of an engine that is well', () => {
    expect(healthy.filter((line) => match(line) !== null)).toEqual([]);
    if (name !== 'cuda') expect(healthy.length).toBeGreaterThan(4);
  });
});

it.each(ENGINES)('%s: ids are unique with all that is included, and healthy lines stay unmatched', (name) => {
  const rules = loadLogRules(name);
  expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length);
  const match = lineMatcher(rules);
  const healthy = ENGINES.flatMap((engine) => readLogRuleFile(engine).healthy);
  expect(healthy.filter((line) => match(line) !== null)).toEqual([]);
});

it.each([
  ['sglang', 'sglang-busy-health', 'busy'],
  ['sglang', 'sglang-child-dead', 'cuda-sticky-error'],
  ['tgi', 'tgi-shard-killed', 'child-dead'],
  ['llama-server', 'llama-server-assert', 'cuda-sticky-error'],
  ['ollama', 'ollama-runner-dead', 'child-dead'],
  ['triton', 'cuda-oom', 'gpu-out-of-memory'],
  ['triton', 'triton-shared-memory', 'shared-memory-too-small'],
] as const)('%s: %s is %s', (engine, name, expected) => {
  expect(readLog(FAILURE_LOGS[name], lineMatcher(loadLogRules(engine))).cause?.class).toBe(expected);
});

it.each(
  Object.entries(SIMULATED_LOGS),
)('%s: no line of a start or of work is taken for a fault', (engine, log) => {
  const match = lineMatcher(loadLogRules(engine));
  const phases = Object.values(log.phases).flatMap(({ begin, end }) => [...begin('org/model'), end('1.0')]);
  const lines = [...phases, log.listening('http://127.0.0.1:8000'), log.stopping].map(([place, text]) =>
    log.line(new Date(0), 'INFO', place, text),
  );
  expect(lines.length).toBeGreaterThan(5);
  expect(lines.filter((line) => match(line) !== null)).toEqual([]);
});

it('finds the cause in every failure that the simulator can print, and not the cascade that follows it', () => {
  const match = lineMatcher([...loadLogRules('vllm'), ...readLogRuleFile('sglang').rules]);
  const causes = Object.fromEntries(
    Object.entries(FAILURE_LOGS).map(([name, lines]) => [name, readLog(lines, match).cause?.class]),
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

it('has a page that lists every class of fault with its row', () => {
  const page = readFileSync(new URL('../../../docs/engines.md', import.meta.url), 'utf8');
  const missing = Object.entries(FAULT_CLASSES).filter(
    ([name, row]) => !page.includes(`| ${row} | \`${name}\` |`),
  );
  expect(missing).toEqual([]);
});
