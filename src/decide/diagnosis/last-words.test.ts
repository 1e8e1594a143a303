import { expect, it } from 'vitest';
import { lastWords, mayHaveLastWords } from './last-words.ts';
import { createLineReader } from './line-reader.ts';

const noRules = createLineReader({ rules: [], markers: [], samples: [] });

it.each([
  [
    ['loading', 'ValueError: model type `foo` is unknown', '', 'Node.js v24.0.0', ''],
    'ValueError: model type `foo` is unknown',
  ],
  [
    ['2026-11-01T10:00:00.000Z [ERROR] cannot open /models/x: no such file', 'bye'],
    'cannot open /models/x: no such file',
  ],
  [['Error: boom', '    at fail (file:///x/errors.ts:1:1)', '  code: "Error"', '}'], 'Error: boom'],
  [['{"event":"failed","message":"model file x: found 10 bytes"}'], 'model file x: found 10 bytes'],
  [['\u001b[31mfatal:\u001b[0m out of\tluck\u0007'], 'fatal: out of luck'],
])('finds in %j what was said of the cause', (lines, words) => {
  expect(lastWords(lines, noRules)).toBe(words);
});

it('prefers what the rules of the engine know to be the cause', () => {
  const match = createLineReader({
    markers: [],
    samples: [],
    rules: [
      {
        id: 'oom',
        pattern: 'out of memory',
        class: 'gpu-out-of-memory',
        role: 'root',
        weak: false,
        timesMin: 1,
        versions: 'all',
        sources: ['x'],
        examples: ['x'],
      },
    ],
  });
  expect(lastWords(['CUDA out of memory', 'RuntimeError: engine core failed'], match)).toBe(
    'CUDA out of memory',
  );
});

it('says nothing where no line speaks of an error, and is one line of bounded length', () => {
  expect(lastWords(['fake engine, pid 12, port 3', ''], noRules)).toBeNull();
  expect(lastWords([`error ${'x'.repeat(5_000)}`], noRules)).toHaveLength(241);
});

it('asks for no last words of an engine that was ended from outside', () => {
  expect(mayHaveLastWords({ kind: 'signalled', signal: 'SIGKILL' })).toBe(false);
  expect(mayHaveLastWords({ kind: 'exited', code: 143 })).toBe(false);
  expect(mayHaveLastWords({ kind: 'signalled', signal: 'SIGSEGV' })).toBe(true);
  expect(mayHaveLastWords({ kind: 'exited', code: 1 })).toBe(true);
});
