import { expect, it } from 'vitest';
import { LogTimes } from './log-time.ts';
import { plainLine } from './plain-line.ts';

it.each([
  ['\u001b[32mINFO\u001b[0m ready', 'INFO ready'],
  ['{"log":"CUDA error\\n","stream":"stderr","time":"2026-11-21T10:00:00Z"}', 'CUDA error'],
  [
    '{"timestamp":"2026-11-21T10:00:00Z","level":"ERROR","fields":{"message":"Shard 0 crashed"}}',
    'Shard 0 crashed',
  ],
  ['{"at":"2026-11-21T10:00:00.000Z","event":"ready"}', '{"at":"2026-11-21T10:00:00.000Z","event":"ready"}'],
  ['{broken', '{broken'],
  ['2026-11-21T10:00:00.123456789Z stderr F Killed', 'Killed'],
  ['vllm-1  | Killed', 'Killed'],
  ['[pod/vllm-0/engine] Killed  ', 'Killed'],
])('%j is %j', (line, plain) => {
  expect(plainLine(line)).toBe(plain);
});

it.each([
  ['INFO 11-21 03:49:00 [core.py:58] x', 'INFO 11-21 03:49:10 [core.py:58] x'],
  [
    '(EngineCore_DP0 pid=7) INFO 02-28 23:59:55 [x.py:1] x',
    '(EngineCore_DP0 pid=7) INFO 02-29 00:00:05 [x.py:1] x',
  ],
  ['[2026-11-21 10:00:00 TP0] x', '[2026-11-21 10:00:10 TP0] x'],
  ['2026-12-31T23:59:55.000000Z  INFO x', '2027-01-01T00:00:05.000000Z  INFO x'],
  ['time=2026-11-21T10:00:00.000Z level=INFO', 'time=2026-11-21T10:00:10.000Z level=INFO'],
  ['[GIN] 2026/11/21 - 10:00:05 | 200 |', '[GIN] 2026/11/21 - 10:00:15 | 200 |'],
  ['I1121 10:00:00.000000 1 server.cc:1] x', 'I1121 10:00:10.000000 1 server.cc:1] x'],
  ['[rank1]:[E822 16:31:16.131931664 P.cpp:1] x', '[rank1]:[E822 16:31:26.131931664 P.cpp:1] x'],
  ['[11/21/2026-10:00:00] [TRT-LLM] [I] x', '[11/21/2026-10:00:10] [TRT-LLM] [I] x'],
  ['0.59.500.100 I srv  x: y', '1.09.500.100 I srv  x: y'],
  ['[  812.250000] NVRM: x', '[  822.250000] NVRM: x'],
])('reads the ten seconds between %j and %j', (before, after) => {
  const times = new LogTimes();
  expect((times.timeMs(after) ?? 0) - (times.timeMs(before) ?? 0)).toBe(10_000);
});

it('finds no time where there is none', () => {
  expect(['', 'Killed', 'line 42 of 77', '[12/13] done'].map((line) => new LogTimes().timeMs(line))).toEqual([
    null,
    null,
    null,
    null,
  ]);
});
