/** The rules of all engines against the lines that they were written for, and against lines of engines that are well. */
import { describe, expect, it } from 'vitest';
import { lineMatcher, readLog } from '../../decide/recovery/read-log.ts';
import { FAILURE_LOGS } from '../../simulator/faults/failure-logs.ts';
import { loadLogRules, readLogRuleFile } from './log-rules.ts';

const ENGINES = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama'];
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
