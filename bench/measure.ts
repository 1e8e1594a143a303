/**
 * One scenario on one target, once: load through it, and what its process spent meanwhile. Drivers only; what the figures mean
 * is in `report.ts`.
 */
import { cpuUs, processTree, residentMb } from './cpu-time.ts';
import { type LoadOptions, runLoad } from './load-client.ts';
import type { Repetition } from './report.ts';
import { requestBody, type Scenario, warmUpBody } from './scenario.ts';
import { summarize } from './statistics.ts';
import type { Target } from './targets/target.ts';

const WARM_UP_MS = 400;
const COMPILE_MS_MAX = 6_000;
const SAMPLE_MS = 100;

export async function measure(scenario: Scenario, target: Target, repetition: number): Promise<Repetition> {
  const body = requestBody(scenario);
  const load = loadOn(scenario, target);
  await warmUp(scenario, target);
  const pids = target.child?.pid === undefined ? [] : processTree(target.child.pid);
  const residentBefore = residentMb(pids);
  const peak = watchMemory(pids);
  const cpuBefore = cpuUs(pids);
  const result = await runLoad({
    ...load,
    requests: scenario.requests,
    body: () => body,
    ...(scenario.durationMs !== undefined && { durationMs: scenario.durationMs }),
    ...(scenario.ratePerSecond !== undefined && { ratePerSecond: scenario.ratePerSecond }),
  });
  const spentUs = cpuUs(pids) - cpuBefore;
  const residentPeak = peak.stop();
  const summary = summarize(result);
  const isMeasured = target.child !== null;
  return {
    scenario: scenario.name,
    target: target.name,
    repetition,
    requests: summary.requests,
    failed: summary.failed,
    errors: summary.errors,
    events: scenario.stream ? summary.events : 0,
    elapsedMs: summary.elapsedMs,
    cpuUs: isMeasured ? spentUs / (scenario.stream ? summary.events : summary.requests) : null,
    latencyMs: scenario.stream ? summary.ttftMs : summary.totalMs,
    residentMb: isMeasured ? residentPeak : null,
    addedMbPer1000:
      isMeasured && scenario.subject === 'memory'
        ? ((residentPeak - residentBefore) / scenario.concurrency) * 1000
        : null,
  };
}

/** Serves until the code of this way is compiled for good, or nearly. */
export async function compileHotPath(scenario: Scenario, target: Target): Promise<void> {
  const body = warmUpBody(scenario);
  const requests = scenario.stream ? 4_000 : 60_000;
  await runLoad({ ...loadOn(scenario, target), requests, durationMs: COMPILE_MS_MAX, body: () => body });
}

/** Whether the target answers a request of this kind. */
export async function canServe(scenario: Scenario, target: Target): Promise<boolean> {
  const body = warmUpBody(scenario);
  const { records } = await runLoad({ ...loadOn(scenario, target), requests: 1, body: () => body });
  return records[0]?.error === null;
}

function loadOn(scenario: Scenario, { origin, headers }: Target): Omit<LoadOptions, 'requests' | 'body'> {
  const { concurrency, stream } = scenario;
  return { url: `${origin}/v1/chat/completions`, headers, concurrency, stream, keep: 'timing' };
}

/** Connections to the engines are open before the measuring begins. */
async function warmUp(scenario: Scenario, target: Target): Promise<void> {
  // Memory is measured of connections and streams that are new.
  const concurrency = scenario.subject === 'memory' ? 16 : scenario.concurrency;
  const body = warmUpBody(scenario);
  const requests = scenario.stream ? 2 * concurrency + 100 : 10_000;
  await runLoad({
    ...loadOn(scenario, target),
    concurrency,
    requests,
    durationMs: WARM_UP_MS,
    body: () => body,
  });
}

/** The most resident memory until `stop`. */
function watchMemory(pids: readonly number[]): { stop(): number } {
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, residentMb(pids));
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return peak;
    },
  };
}
