/**
 * Goal: each fault that the simulator can have is named rightly and answered rightly, no client of a pool with a healthy replica
 * feels it, and what is no fault leads to no restart. Method: the whole system, two replicas, streams without a pause; the faults
 * are put one after another into the first replica, and its incident is read from the facts.
 *
 * What was measured is printed as a table. AUTOGLM_WRITE=1 writes it into docs/fault-matrix.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  arm,
  errorsOf,
  factsOf,
  replicaIn,
  type SteadyLoad,
  steadyStreams,
  untilHealed,
} from '../../support/heal.ts';
import { machinePace } from '../../support/machine-pace.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../../support/system-under-test.ts';

interface Row {
  name: string;
  /** A fault of the simulator, or a signal. */
  fault: object | NodeJS.Signals;
  /** What it may be called; null: it is no fault of the engine, and no process is ended. */
  classes: readonly string[] | null;
  foundMsMax?: number;
}

const exits = (log: string, classes: readonly string[], code = 1): Row => ({
  name: `exit ${code}, log of ${log}`,
  fault: { action: 'exit', code, log },
  classes,
});

const ROWS: readonly Row[] = [
  exits('engine-core-dead', ['engine-core-dead']),
  exits('clean-exit-after-fatal', ['clean-exit-after-fatal', 'engine-core-dead'], 0),
  exits('cuda-launch-failure', ['cuda-sticky-error']),
  exits('cuda-oom', ['gpu-out-of-memory']),
  exits('nccl-timeout', ['collective-timeout'], 134),
  exits('rpc-timeout', ['engine-rpc-timeout']),
  exits('network-transient', ['network-transient']),
  exits('host-oom-kill', ['killed-from-outside'], 137),
  { name: 'SIGKILL from outside', fault: 'SIGKILL', classes: ['killed-from-outside'] },
  { name: 'segmentation fault', fault: { action: 'exit', signal: 'SIGSEGV' }, classes: ['engine-core-dead'] },
  { name: 'SIGSTOP', fault: 'SIGSTOP', classes: ['hung'], foundMsMax: 5_000 },
  { name: 'hang, /health answers', fault: { action: 'hang' }, classes: ['hung'], foundMsMax: 5_000 },
  {
    name: 'out of memory above 100 tokens a step',
    fault: { action: 'out-of-memory', tokensOver: 100 },
    classes: ['gpu-out-of-memory'],
  },
  {
    name: 'every token is "!"',
    fault: { action: 'corrupt-text' },
    classes: ['corrupt-output'],
    foundMsMax: 30_000,
  },
  { name: 'one request gets no more tokens', fault: { action: 'hang-request' }, classes: null },
  { name: 'a stream falls silent without FIN', fault: { action: 'stall-stream' }, classes: null },
  { name: 'a stream is cut', fault: { action: 'truncate-stream' }, classes: null },
  { name: 'a stream ends without [DONE]', fault: { action: 'truncate-stream', how: 'end' }, classes: null },
  { name: 'an empty answer', fault: { action: 'empty-answer' }, classes: null },
  { name: 'HTTP 500 to one request', fault: { action: 'http-error', status: 500, times: 1 }, classes: null },
  {
    name: '/health and /v1/models late by 40 s',
    fault: { action: 'starve-frontend', delayMs: 40_000, durationMs: 6_000 },
    classes: null,
  },
  { name: 'metrics endpoint dead', fault: { action: 'metrics-dead', durationMs: 6_000 }, classes: null },
  { name: 'a metric is renamed', fault: { action: 'rename-metric', durationMs: 4_000 }, classes: null },
  { name: 'the clock jumps an hour', fault: { action: 'jump-clock', byMs: 3_600_000 }, classes: null },
  {
    name: 'steps take four times as long',
    fault: { action: 'slow', factor: 4, durationMs: 6_000 },
    classes: null,
  },
  {
    name: 'a preemption storm',
    fault: { action: 'preemption-storm', perStep: 1, durationMs: 5_000 },
    classes: null,
  },
];

/** So long is looked for restarts that should not be. */
const QUIET_MS = 5_000;
const FOUND_MS_MAX = 2_500;
/** From the incident to the start that follows: capacity is back after the time of a start, and less than a second. */
const LOST_MS_MAX = 1_000;
const REPLICA = 'sim/0';
const DOCS = join(import.meta.dirname, '../../../docs/fault-matrix.md');

let system: SystemUnderTest;
let load: SteadyLoad | undefined;
const measured: string[] = [];

beforeAll(async () => {
  system = await startSystem({
    models: [simulatorPool('sim', 2)],
    timeouts: { stall_ms: 8_000 },
    supervisor: { restarts_max: 1_000, backoff_initial_ms: 50, backoff_max_ms: 50 },
  });
}, 60_000);

afterAll(async () => {
  console.log(table());
  if (process.env.AUTOGLM_WRITE === '1') write();
  await system?.stop();
});

afterEach(async () => {
  await load?.stop();
  load = undefined;
});

describe('the fault matrix', () => {
  it.each(ROWS)('$name', async ({ name, fault, classes, foundMsMax = FOUND_MS_MAX }) => {
    load = steadyStreams(system, 'sim');
    const before = replicaIn(
      await system.until((status) => replicaIn(status, REPLICA).inFlight > 0, 30_000),
      REPLICA,
    );
    const known = (await factsOf(system, 'incidentOpened', REPLICA)).length;
    const atMs = Date.now();
    if (typeof fault === 'object') await arm(system, REPLICA, fault);
    else if (fault === 'SIGKILL') killQuietly(before.pid ?? 0);
    else process.kill(before.pid ?? 0, fault);
    if (classes !== null) await untilHealed(system, REPLICA, before.generation, 35_000);
    else await new Promise((done) => setTimeout(done, QUIET_MS));
    const after = replicaIn(await system.status(), REPLICA);
    const result = await load.stop();
    load = undefined;
    const incidents = (await factsOf(system, 'incidentOpened', REPLICA)).slice(known);
    const [incident] = incidents;
    const remedies = (await factsOf(system, 'remedyStarted', REPLICA)).filter(({ incident: id }) =>
      incidents.some((one) => one.incident === id),
    );
    const changes = await factsOf(system, 'replicaStateChanged', REPLICA);
    const ready = changes.findLast(({ to }) => to === 'ready');
    const starting = changes.findLast(({ to }) => to === 'starting');
    const continued = (await factsOf(system, 'streamContinued')).filter((fact) => fact.atMs >= atMs).length;
    measured.push(
      row([
        name,
        incidents.length === 0 ? 'none' : incidents.map(({ diagnosis }) => diagnosis.class).join(', '),
        remedies.map(({ remedy }) => remedy).join(', ') || '-',
        incident === undefined ? '-' : `${incident.atMs - atMs} ms`,
        classes === null ? '-' : `${(ready?.atMs ?? 0) - atMs} ms`,
        `${result.records.length}`,
        `${continued}`,
        `${errorsOf(result).length}`,
      ]),
    );
    expect(errorsOf(result)).toEqual([]);
    if (classes === null) {
      expect(after).toMatchObject({ pid: before.pid, generation: before.generation });
      return;
    }
    expect(classes, incident?.summary).toContain(incident?.diagnosis.class);
    expect(remedies.at(-1)?.remedy).toMatch(/^restart_/);
    expect((incident?.atMs ?? Number.POSITIVE_INFINITY) - atMs).toBeLessThan(foundMsMax * machinePace());
    // Beside the start of the engine itself: evidence, the end of the process, the wait before the start.
    const lostMs = (starting?.atMs ?? Number.POSITIVE_INFINITY) - (incident?.atMs ?? 0);
    expect(lostMs).toBeLessThan(LOST_MS_MAX * machinePace());
    const closed = await factsOf(system, 'incidentClosed', REPLICA);
    expect(closed.find(({ incident: id }) => id === incident?.incident)?.outcome).toBe('recovered');
  });
});

const HEAD = [
  'fault',
  'diagnosed as',
  'remedies',
  'found after',
  'back in rotation after',
  'streams',
  'continued',
  'failed',
];

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function table(): string {
  return [row(HEAD), row(HEAD.map(() => '---')), ...measured].join('\n');
}

function write(): void {
  const text = readFileSync(DOCS, 'utf8');
  const between = /(<!-- measured: matrix -->\n)[\s\S]*?(\n<!-- end: matrix -->)/;
  writeFileSync(DOCS, text.replace(between, `$1${table()}$2`));
}
