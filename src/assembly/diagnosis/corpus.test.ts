/**
 * How often the diagnosis of a log is right. Goal: in every class that shows in logs, precision and recall of 1 on the excerpts of
 * `tests/corpus/logs/<class>/`, and no log of an engine that is well taken for a fault. Method: every excerpt is diagnosed
 * as `autoglm diagnose` does it, without being told whose it is; the table of results is printed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type HealthyEngine, healthyLogs } from '../../../tests/support/healthy-logs.ts';
import { FAULT_CLASSES } from '../../contract/faults.ts';
import { diagnoseLog } from './diagnose-log.ts';

const FOLDER = resolve(import.meta.dirname, '../../../tests/corpus/logs');
const EXCERPTS_MIN = 5;
const HEALTHY = 200;
/** They show in metrics, probes and requests, and never in the lines of an engine. */
const NOT_IN_LOGS = [
  'frontend-starved',
  'stream-stall',
  'leaked-slots',
  'ready-too-early',
  'straggler',
  'empty-success',
  'gateway-fault',
];

const inLog = (text: string, engine?: string) =>
  diagnoseLog({
    file: '-',
    name: 'a log',
    stdin: Readable.from([Buffer.from(text)]),
    ...(engine !== undefined && { engine }),
  });

const excerpts = readdirSync(FOLDER).flatMap((wanted) =>
  readdirSync(join(FOLDER, wanted)).map((name) => ({
    wanted,
    name: `${wanted}/${name}`,
    engine: name.replace(/-\d+\.txt$/, ''),
    text: readFileSync(join(FOLDER, wanted, name), 'utf8'),
  })),
);
const healthy = healthyLogs(HEALTHY);

describe('the corpus', () => {
  it('has at least five excerpts of every class that shows in logs, of several engines where it can', () => {
    const counts = Object.fromEntries(
      FAULT_CLASSES.map((fault) => [fault, excerpts.filter(({ wanted }) => wanted === fault).length]),
    );
    const few = Object.entries(counts).filter(
      ([fault, count]) => count < EXCERPTS_MIN && !NOT_IN_LOGS.includes(fault),
    );
    expect(few).toEqual([]);
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(excerpts.length);
    expect(new Set(excerpts.map(({ engine }) => engine)).size).toBeGreaterThanOrEqual(8);
  });

  it.each(excerpts)('$name', async ({ wanted, text, engine }) => {
    const found = await inLog(text);
    results.push({ wanted, found: found.class });
    expect(`${found.class}: ${JSON.stringify(found.evidence[0])}`).toMatch(new RegExp(`^${wanted}:`));
    if (engine !== 'kernel' && found.engine.name !== null) expect(found.engine.name).toBe(engine);
  });
});

it(`takes none of ${HEALTHY} logs of engines that are well for a fault, and knows whose they are`, async () => {
  const wrong: string[] = [];
  for (const { name, engine, lines } of healthy) {
    const found = await inLog(lines.join('\n'));
    results.push({ wanted: 'none', found: found.class });
    if (found.class !== 'none') wrong.push(`${name}: ${found.class}: ${JSON.stringify(found.evidence)}`);
    if (found.engine.name !== engine && found.engine.name !== null)
      wrong.push(`${name} taken for one of ${found.engine.name}`);
  }
  expect(wrong).toEqual([]);
});

/** Where the verdict rests on how far the engine came and whether steps are made, lines that show steps are no noise; nor is a heartbeat that is missing while nothing moves. */
const BY_PROGRESS = [
  'hung',
  'head-of-line-deadlock',
  'shared-memory-heartbeat',
  'slow-start',
  'busy',
  'no-memory-at-start',
  'bad-configuration',
];
const SHOWS_STEPS =
  /broadcast block|throughput|batch|200|Success|print_timing|stop processing|iter =|ready|startup complete|listening|Connected|Started|loaded|started/i;
/** They come from another day, and how long something lasts is told from the times of lines. */
const HAS_TIME = /\d\d:\d\d:\d\d|^\d+\.\d\d\./;
/** A start or an end would be another attempt. */
const SHOWS_LIFE =
  /server version|ServerArgs|Args \{|build_info|server config|Pinned memory|LLM version|resolving|[Ss]hutting down|[Ss]hutdown|exiting|before exit|in-flight requests|draining/;

it('is not moved by healthy lines, wherever among the others they stand (500 cases)', async () => {
  const noiseOf = (engine: string, wanted: string) =>
    healthy
      .filter((log) => log.engine === (engine as HealthyEngine))
      .flatMap(({ lines }) => lines)
      .filter(
        (line) =>
          !SHOWS_LIFE.test(line) &&
          !(BY_PROGRESS.includes(wanted) && (SHOWS_STEPS.test(line) || HAS_TIME.test(line))),
      )
      // Half a minute of them would be a storm.
      .filter((line) => !/Releasing|failed to find|Traceback/.test(line));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...excerpts.filter(({ engine }) => engine !== 'kernel')),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
      async ({ text, engine, wanted }, insertions) => {
        const noise = noiseOf(engine, wanted);
        const before = await inLog(text, engine);
        const lines = text.trimEnd().split('\n');
        // Lines keep their order; each healthy one goes to a place of its own.
        for (const [place, pick] of insertions) {
          const line = noise[pick % Math.max(1, noise.length)];
          if (line !== undefined) lines.splice(place % (lines.length + 1), 0, line);
        }
        expect((await inLog(lines.join('\n'), engine)).class).toBe(before.class);
      },
    ),
    { numRuns: 500 },
  );
});

it('reads any text without an exception (1,000 cases)', async () => {
  const piece = fc.oneof(fc.string(), fc.constantFrom(...excerpts.flatMap(({ text }) => text.split('\n'))));
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 20 }), async (lines) => {
      const text = `${lines.join('\n').replaceAll('\0', '')}\n`;
      const { class: verdict, confidence } = await inLog(text);
      expect(confidence >= 0 && confidence <= 1 && verdict.length > 0).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

const results: { wanted: string; found: string }[] = [];

afterAll(() => {
  const classes = [...new Set(results.map(({ wanted }) => wanted))];
  const rows = classes.map((name) => {
    const wanted = results.filter((result) => result.wanted === name);
    const found = results.filter((result) => result.found === name);
    const right = wanted.filter((result) => result.found === name).length;
    return {
      name,
      excerpts: wanted.length,
      precision: right / Math.max(1, found.length),
      recall: right / wanted.length,
    };
  });
  const line = ({ name, excerpts: count, precision, recall }: (typeof rows)[number]) =>
    `${name.padEnd(26)} ${String(count).padStart(4)}  precision ${precision.toFixed(2)}  recall ${recall.toFixed(2)}`;
  console.log(['diagnosis of the log corpus:', ...rows.map(line)].join('\n'));
});
