/**
 * Does the engine move? A hang is work outstanding while the progress counter stands still, for longer than the longest legal
 * prefill takes. Never latency, never a slow /health.
 *
 * Two witnesses: the engine's own counter, and the tokens that gateways receive. A counter that begins anew counts as a step. A
 * metrics endpoint that is silent says nothing about the counter. Stillness is measured from the last step or from the moment
 * at which there was work, whichever is later, for an idle engine stands still by right.
 */
import type { FlowSample, MetricSample, SignalWindow } from './signals.ts';

export interface Motion {
  /** By the engine's metrics; null: they do not say. */
  engine: Stillness | null;
  /** By the gateways. */
  flow: Stillness | null;
  /** The last readings of the metrics failed. */
  metricsDead: boolean;
  counterResets: number;
  latest: Extract<MetricSample, { ok: true }> | null;
  graceMs: number;
  graceReason: string;
}

export interface Stillness {
  outstanding: number;
  /** With work and without a step; 0: it moves, or has nothing to do. */
  stillMs: number;
  /** A step was seen within the window. */
  advanced: boolean;
  /** The last step may have been so much earlier: it fell between two looks. */
  unsureMs: number;
}

const STILL_MIN_MS = 5_000;
/** For engines of which nothing is measured (gonka-ai/gonka#1421). */
const GRACE_UNMEASURED_MS = 120_000;
/** A log gives a reading every ten seconds at best. */
const GRACE_LOG_MS = 60_000;
/** A prefill shares the engine with others. */
const PREFILL_SAFETY = 2;
const GAP_FACTOR = 2;
const FAILED_READINGS_MIN = 2;
const READINGS_MIN = 2;

export function readMotion(window: SignalWindow, fromLog: boolean): Motion {
  const metrics = window.metrics ?? [];
  const { engine, resets } = readEngine(metrics);
  const flow = readFlow(window.flow ?? []);
  const good = metrics.filter((sample) => sample.ok);
  const tail = metrics.slice(-FAILED_READINGS_MIN);
  return {
    engine: engine === null ? null : sharpened(engine, flow),
    flow,
    metricsDead: tail.length === FAILED_READINGS_MIN && tail.every(({ ok }) => !ok),
    counterResets: resets,
    latest: good.at(-1) ?? null,
    ...(fromLog ? { graceMs: GRACE_LOG_MS, graceReason: 'a log gives few readings' } : graceFor(window)),
  };
}

function readEngine(samples: readonly MetricSample[]): { engine: Stillness | null; resets: number } {
  const watch = new StillWatch();
  let before: number | null = null;
  let resets = 0;
  let telling = 0;
  let speeds = 0;
  for (const sample of samples) {
    if (!sample.ok) continue;
    const { atMs, progressCount, tokensPerS, stepped } = sample;
    let moved = stepped === true || (tokensPerS ?? 0) > 0;
    if (progressCount !== undefined) {
      if (before !== null && progressCount < before) resets++;
      moved ||= before !== null && progressCount !== before;
      before = progressCount;
      telling++;
    } else if (tokensPerS !== undefined || stepped !== undefined) {
      telling++;
      speeds++;
    }
    watch.add(atMs, (sample.running ?? 0) + (sample.waiting ?? 0), moved);
  }
  // A counter needs two readings before it says anything; a speed says it at once.
  const enough = telling >= READINGS_MIN || speeds > 0;
  return { engine: enough ? watch.stillness() : null, resets };
}

function readFlow(samples: readonly FlowSample[]): Stillness | null {
  const watch = new StillWatch();
  let before: number | null = null;
  for (const { atMs, inFlight, tokensTotal, sinceTokenMs } of samples) {
    const moved = before !== null && tokensTotal !== before;
    watch.add(atMs, inFlight, moved, moved ? sinceTokenMs : 0);
    before = tokensTotal;
  }
  return samples.length >= READINGS_MIN ? watch.stillness() : null;
}

/** A counter that moved between two looks did so with the last token, if gateways saw one then. */
function sharpened(engine: Stillness, flow: Stillness | null): Stillness {
  if (flow === null || flow.outstanding === 0 || engine.stillMs === 0) return engine;
  const stillMs = Math.max(engine.stillMs, Math.min(flow.stillMs, engine.stillMs + engine.unsureMs));
  return { ...engine, stillMs };
}

class StillWatch {
  #stillSince: number | null = null;
  #last: number | null = null;
  #outstanding = 0;
  #advanced = false;
  #unsureMs = 0;

  /** `agoMs`: the step was so long before. */
  add(atMs: number, outstanding: number, moved: boolean, agoMs = 0): void {
    if (moved) this.#unsureMs = this.#last === null ? 0 : atMs - this.#last;
    this.#last = atMs;
    this.#outstanding = outstanding;
    if (moved) this.#advanced = true;
    if (outstanding === 0) this.#stillSince = null;
    else if (moved) this.#stillSince = atMs - agoMs;
    else this.#stillSince ??= atMs;
  }

  stillness(): Stillness {
    const stillMs = this.#stillSince === null ? 0 : (this.#last ?? 0) - this.#stillSince;
    return {
      outstanding: this.#outstanding,
      stillMs: Math.max(0, stillMs),
      advanced: this.#advanced,
      unsureMs: this.#unsureMs,
    };
  }
}

/** How long an engine may stand still with work: the longest prefill that may be under way, and never less than the floor. */
function graceFor({ capacity = {}, inFlight, patience }: SignalWindow): {
  graceMs: number;
  graceReason: string;
} {
  const { prefillTokensPerS, promptTokensMax, gapP99Ms } = capacity;
  const floor = Math.max(patience?.floorMs ?? STILL_MIN_MS, GAP_FACTOR * (gapP99Ms ?? 0));
  const waiting = inFlight?.filter(({ answered }) => answered !== true);
  // Requests that all have tokens need no prefill any more.
  const tokens =
    waiting === undefined ? promptTokensMax : Math.max(0, ...waiting.map(({ promptTokens }) => promptTokens));
  if (tokens === 0) return { graceMs: floor, graceReason: 'no prompt is being read' };
  if (tokens === undefined || !((prefillTokensPerS ?? 0) > 0)) {
    const graceMs = Math.max(floor, patience?.unmeasuredMs ?? GRACE_UNMEASURED_MS);
    return { graceMs, graceReason: 'its speed of reading prompts is not measured' };
  }
  const prefillMs = ((tokens * 1000) / (prefillTokensPerS as number)) * PREFILL_SAFETY;
  const graceReason = `a prompt of ${tokens} tokens at ${Math.round(prefillTokensPerS as number)} tokens/s, twice`;
  return { graceMs: Math.max(floor, prefillMs), graceReason };
}
