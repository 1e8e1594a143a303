/** The faults of an engine that lives: still, busy, starved, leaking, silent towards one client. `motion.ts` says how it moves. */
import type { Evidence } from '../../contract/diagnosis.ts';
import { lineEvidence } from './examine-log.ts';
import { type Inquiry, span } from './inquiry.ts';
import { type Motion, readMotion } from './motion.ts';
import type { ProbeSample, SignalWindow } from './signals.ts';

const HEALTH_SLOW_MS = 5_000;
const CPU_FULL_RATIO = 0.9;
const KV_FULL_RATIO = 0.95;
const KV_NEAR_FULL_RATIO = 0.9;
const KV_EMPTY_RATIO = 0.01;
const PREEMPTIONS_PER_S_MIN = 1;

export function examineMotion(given: SignalWindow, inquiry: Inquiry): void {
  if (given.exit !== undefined || given.phase === 'starting') return;
  const window = withSamplesOfLog(given);
  const fromLog = given.metrics === undefined && window.metrics !== undefined;
  const motion = readMotion(window, fromLog);
  examineStreams(window, motion, inquiry);
  examineStorm(window, inquiry);
  const still = stillness(window, motion, inquiry);
  if (still !== null) return accuseStill(window, motion, still, inquiry);
  if (moves(motion)) examineBusy(window, motion, inquiry);
  else if (motion.metricsDead)
    inquiry.loose.push({
      signal: 'metrics',
      text: 'the metrics endpoint does not answer; whether steps are made is not known',
    });
  examineListener(window, inquiry);
}

/** Where there are no metrics, the log's own figures. */
function withSamplesOfLog(window: SignalWindow): SignalWindow {
  const samples = window.log?.samples.filter(({ atMs }) => atMs !== null) ?? [];
  if (window.metrics !== undefined || samples.length === 0) return window;
  const metrics = samples.map(({ atMs, running, waiting, kvRatio, tokensPerS }) => ({
    atMs: atMs as number,
    ok: true as const,
    ...(running !== undefined && { running }),
    ...(waiting !== undefined && { waiting }),
    ...(kvRatio !== undefined && { kvRatio }),
    ...(tokensPerS === undefined ? { stepped: true } : { tokensPerS }),
  }));
  return { ...window, metrics };
}

function moves({ engine, flow, graceMs }: Motion): boolean {
  return [engine, flow].some((seen) => seen?.advanced === true && seen.stillMs < graceMs);
}

interface Still {
  witnesses: number;
  stillMs: number;
  evidence: Evidence[];
}

/** Null where nothing stands still for longer than it may. */
function stillness(window: SignalWindow, motion: Motion, inquiry: Inquiry): Still | null {
  const { engine, flow, graceMs, graceReason, metricsDead } = motion;
  const engineStill = engine !== null && engine.outstanding > 0 && engine.stillMs >= graceMs;
  const flowStill = flow !== null && flow.outstanding > 0 && flow.stillMs >= graceMs;
  const flowMoves = flow !== null && flow.outstanding > 0 && flow.stillMs < graceMs && flow.advanced;
  const evidence: Evidence[] = [];
  if (engineStill && !metricsDead) {
    const text = `${engine.outstanding} requests, and no step for ${span(engine.stillMs)}; it may take ${span(graceMs)} (${graceReason})`;
    evidence.push({ signal: 'metrics', text });
  }
  if (flowStill) {
    const text = `gateways wait for ${flow.outstanding} requests and have had no token for ${span(flow.stillMs)}`;
    evidence.push({ signal: 'gateway', text });
  }
  const counterStill = engineStill && !metricsDead;
  if (counterStill && flowMoves)
    inquiry.ruleOut('hung', 'the counter stands still, but tokens arrive: its metrics are stale');
  else if (counterStill) return { witnesses: flowStill ? 2 : 1, stillMs: engine.stillMs, evidence };
  // Without the counter the gateways are the witness: late metrics are no proof of anything.
  if (flowStill && (metricsDead || engine === null)) {
    if (metricsDead)
      evidence.push({
        signal: 'metrics',
        text: 'the metrics endpoint does not answer, which proves nothing',
      });
    const probed = window.probes?.some(({ rung, ok }) => rung === 'generation' && !ok) === true;
    if (probed) evidence.push({ signal: 'probe', text: 'a generation of one token did not come' });
    return { witnesses: probed ? 1.5 : 0.5, stillMs: flow.stillMs, evidence };
  }
  sayWhyNotHung(motion, inquiry);
  return null;
}

function sayWhyNotHung(
  { engine, flow, graceMs, graceReason, counterResets, metricsDead }: Motion,
  inquiry: Inquiry,
): void {
  if (counterResets > 0)
    inquiry.ruleOut('hung', 'the progress counter began anew, which is a step and no stillness');
  else if (engine !== null && engine.outstanding === 0)
    inquiry.ruleOut('hung', 'there is no work outstanding; an idle engine stands still');
  else if (engine !== null && engine.stillMs > 0)
    inquiry.ruleOut(
      'hung',
      `no step for ${span(engine.stillMs)}, and ${span(graceMs)} are legal: ${graceReason}`,
    );
  else if (engine?.advanced === true) inquiry.ruleOut('hung', 'the progress counter advances');
  else if (metricsDead && flow?.advanced === true)
    inquiry.ruleOut('hung', 'the metrics endpoint does not answer, but tokens arrive');
}

function accuseStill(window: SignalWindow, motion: Motion, still: Still, inquiry: Inquiry): void {
  const { evidence, witnesses, stillMs } = still;
  const { latest, flow } = motion;
  const sure = Math.min(
    0.95,
    0.7 + 0.1 * witnesses + (stillMs >= 2 * motion.graceMs ? 0.05 : 0) - (witnesses < 1 ? 0.15 : 0),
  );
  const accuse = (fault: Parameters<Inquiry['suspect']>[0], confidence: number, more: Evidence[] = []) =>
    inquiry.suspect(fault, 'symptom', { confidence, evidence: [...evidence, ...more] });
  const running = latest?.running;
  const waiting = latest?.waiting ?? 0;
  const kv = latest?.kvRatio;

  if (window.ranks !== undefined && window.ranks.stepping < window.ranks.expected) {
    const { expected, stepping } = window.ranks;
    const text = `${stepping} of ${expected} ranks make steps`;
    return accuse('dead-parallel-rank', 0.85, [{ signal: 'process', text }]);
  }
  if (flow !== null && flow.outstanding === 0 && (running ?? 0) > 0) {
    const text = `it counts ${running} running requests, and no gateway waits for one`;
    inquiry.ruleOut('hung', 'nobody waits for what it seems to run');
    return accuse('leaked-slots', 0.8, [{ signal: 'gateway', text }]);
  }
  const slots = window.probes?.filter(({ rung }) => rung === 'slots') ?? [];
  const healthOk = window.probes?.some(({ rung, ok }) => rung === 'health' && ok) === true;
  if (slots.length > 0 && slots.every(({ ok }) => !ok) && healthOk)
    return accuse('slot-wedge', sure, [{ signal: 'probe', text: '/health is answered, /slots is not' }]);
  if (window.connector !== undefined && window.connector.waiting > 0 && (running ?? 0) === 0) {
    const text = `${window.connector.waiting} requests wait for cache blocks from elsewhere`;
    return accuse('kv-connector-stall', 0.85, [{ signal: 'metrics', text }]);
  }
  if (waiting > 0 && running === 0 && (kv === undefined || kv <= KV_EMPTY_RATIO))
    return accuseHead(window, { waiting, kv, sure }, accuse, inquiry);
  const heartbeat = window.log?.findings.find(({ class: fault }) => fault === 'shared-memory-heartbeat');
  if (heartbeat !== undefined) {
    inquiry.ruleOut('hung', 'the missing heartbeat over shared memory says more');
    return accuse('shared-memory-heartbeat', sure, [lineEvidence(heartbeat)]);
  }
  if (kv !== undefined && kv >= KV_NEAR_FULL_RATIO && window.engine === 'sglang') {
    const text = `cache use ${Math.round(kv * 100)} %, where its watchdog is known to end it after 300 s`;
    return accuse('watchdog-timeout', sure - 0.1, [{ signal: 'metrics', text }]);
  }
  inquiry.ruleOut('busy', 'a busy engine makes steps');
  accuse(
    'hung',
    sure,
    healthOk ? [{ signal: 'probe', text: '/health is answered, which proves nothing' }] : [],
  );
}

/** Nothing runs, the cache is empty, and requests wait: the first of them may not fit. */
function accuseHead(
  { inFlight, capacity }: SignalWindow,
  { waiting, kv, sure }: { waiting: number; kv: number | undefined; sure: number },
  accuse: (fault: 'hung' | 'head-of-line-deadlock', confidence: number, more: Evidence[]) => void,
  inquiry: Inquiry,
): void {
  const cache = kv === undefined ? '' : `, cache use ${(kv * 100).toFixed(1)} %`;
  const picture: Evidence = { signal: 'metrics', text: `${waiting} waiting, 0 running${cache}` };
  const room = capacity?.kvCapacityTokens;
  const head = inFlight?.[0];
  const needs = (head?.promptTokens ?? 0) + (head?.maxTokens ?? 0);
  if (room === undefined || head === undefined) {
    inquiry.ruleOut('hung', 'nothing runs and the cache is empty: the queue is stuck, not a step');
    return accuse('head-of-line-deadlock', 0.6, [picture]);
  }
  if (needs > room) {
    const text = `the first request needs ${needs} tokens of cache, and there are ${room}`;
    inquiry.ruleOut('hung', 'the first request cannot be admitted, ever');
    return accuse('head-of-line-deadlock', 0.9, [picture, { signal: 'requests', text }]);
  }
  inquiry.ruleOut('head-of-line-deadlock', `the first request needs ${needs} tokens of ${room}: it fits`);
  accuse('hung', sure, [picture]);
}

function examineStreams({ flow }: SignalWindow, motion: Motion, inquiry: Inquiry): void {
  const silent = flow?.at(-1)?.silentStreams ?? 0;
  if (silent === 0 || !moves(motion)) return;
  const text = `${silent} streams are silent while the engine makes steps`;
  inquiry.suspect('stream-stall', 'symptom', { confidence: 0.8, evidence: [{ signal: 'gateway', text }] });
}

function examineStorm({ metrics }: SignalWindow, inquiry: Inquiry): void {
  const good = (metrics ?? []).filter((sample) => sample.ok);
  const counted = good.filter(({ preemptionsTotal }) => preemptionsTotal !== undefined);
  const [first, last] = [counted[0], counted.at(-1)];
  const kv = good.at(-1)?.kvRatio ?? 0;
  if (first === undefined || last === undefined || kv < KV_FULL_RATIO) return;
  const perS =
    ((last.preemptionsTotal ?? 0) - (first.preemptionsTotal ?? 0)) /
    Math.max(1, (last.atMs - first.atMs) / 1000);
  if (!(perS >= PREEMPTIONS_PER_S_MIN)) return;
  const text = `${perS.toFixed(1)} preemptions a second, cache use ${Math.round(kv * 100)} %`;
  inquiry.suspect('kv-exhausted', 'symptom', { confidence: 0.85, evidence: [{ signal: 'metrics', text }] });
}

/** It moves, and yet its checks fail: too much work, or an HTTP side that does not get to its own. */
function examineBusy(
  { probes, processes }: SignalWindow,
  { latest, metricsDead }: Motion,
  inquiry: Inquiry,
): void {
  const troubled = (probes ?? []).filter(isTroubled);
  const step: Evidence = { signal: 'metrics', text: 'steps are made' };
  if (troubled.length === 0) {
    if (metricsDead)
      inquiry.loose.push({
        signal: 'metrics',
        text: 'the metrics endpoint does not answer, and tokens arrive',
      });
    return;
  }
  const slowest = Math.max(...troubled.map(({ latencyMs }) => latencyMs));
  const seen: Evidence = {
    signal: 'probe',
    text: `${troubled.length} checks failed or took up to ${span(slowest)}`,
  };
  const cpu = processes?.frontendCpuRatio ?? 0;
  const starved =
    cpu >= CPU_FULL_RATIO || metricsDead || ((latest?.waiting ?? 0) === 0 && slowest >= HEALTH_SLOW_MS);
  if (!starved) return inquiry.suspect('busy', 'symptom', { confidence: 0.8, evidence: [step, seen] });
  const evidence = [step, seen];
  if (cpu >= CPU_FULL_RATIO) {
    evidence.push({
      signal: 'process',
      text: `the process that speaks HTTP uses ${Math.round(cpu * 100)} % of a core`,
    });
  }
  inquiry.suspect('frontend-starved', 'symptom', { confidence: cpu >= CPU_FULL_RATIO ? 0.9 : 0.7, evidence });
}

function isTroubled({ ok, latencyMs, why, rung }: ProbeSample): boolean {
  if (rung === 'generation' || rung === 'slots') return false;
  return ok ? latencyMs >= HEALTH_SLOW_MS : why === 'timeout';
}

/** Refused means that nobody listens, which a saturated engine never does. */
function examineListener({ probes, phase }: SignalWindow, inquiry: Inquiry): void {
  const last = probes?.at(-1);
  if (phase !== 'serving' || last === undefined || last.ok || last.why !== 'refused') return;
  const text = 'the process lives, and nobody listens on its port any more';
  inquiry.suspect('child-dead', 'symptom', { confidence: 0.65, evidence: [{ signal: 'probe', text }] });
}
