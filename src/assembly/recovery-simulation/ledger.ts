/**
 * The books of a pretended world: when which replica truly served, when the supervisor believed so, and what it did that was not
 * needed. It looks at the truth, which the supervisor does not know, and changes nothing.
 */
import type { PretendProcess } from './pretend-process.ts';

interface Moment {
  nowMs: number;
  /** Whether gateways send requests there; null: nobody says anything new. */
  isInRotation: boolean | null;
  process: PretendProcess | undefined;
}

interface Account {
  untilMs: number;
  isInRotation: boolean;
  /** Null: it serves. */
  downSinceMs: number | null;
  hasServed: boolean;
  starts: number;
}

export class Ledger {
  /** Of all managed replicas. */
  replicaMs = 0;
  servingMs = 0;
  /** In rotation, and not able to serve: requests run into it. */
  deceivedMs = 0;
  restarts = 0;
  falseRestarts = 0;
  quarantines = 0;
  /** From the moment when a replica could not serve any more until it served again. */
  readonly outagesMs: number[] = [];
  /** From that moment until gateways were told. */
  readonly detectedMs: number[] = [];
  readonly #accounts = new Map<string, Account>();
  readonly #ended = new WeakSet<PretendProcess>();

  account(replica: string, { nowMs, isInRotation, process }: Moment): void {
    const account = this.#accountOf(replica, nowMs);
    const fromMs = account.untilMs;
    if (nowMs > fromMs) this.#pass(account, fromMs, nowMs, process);
    if (isInRotation !== null && isInRotation !== account.isInRotation) {
      account.isInRotation = isInRotation;
      if (!isInRotation && account.downSinceMs !== null) this.detectedMs.push(nowMs - account.downSinceMs);
    }
    const isServing = account.isInRotation && isWell(process, nowMs);
    if (isServing && account.downSinceMs !== null && account.hasServed)
      this.outagesMs.push(nowMs - account.downSinceMs);
    if (isServing) account.downSinceMs = null;
    else account.downSinceMs ??= brokenSinceMs(process, fromMs, nowMs);
    account.hasServed ||= isServing;
    account.untilMs = nowMs;
  }

  onSpawn(replica: string): void {
    const account = this.#accounts.get(replica);
    if (account === undefined) return;
    if (account.starts++ > 0) this.restarts++;
  }

  /** A process that is ended though nothing was wrong with it. */
  onSignal(process: PretendProcess, nowMs: number): void {
    if (this.#ended.has(process)) return;
    this.#ended.add(process);
    if (isWell(process, nowMs)) this.falseRestarts++;
  }

  /** What was before it served for the first time is no outage. */
  #pass(
    { isInRotation, hasServed }: Account,
    fromMs: number,
    toMs: number,
    process: PretendProcess | undefined,
  ): void {
    if (!hasServed) return;
    this.replicaMs += toMs - fromMs;
    if (!isInRotation) return;
    const wellMs = wellWithin(process, fromMs, toMs);
    this.servingMs += wellMs;
    this.deceivedMs += toMs - fromMs - wellMs;
  }

  #accountOf(replica: string, nowMs: number): Account {
    let account = this.#accounts.get(replica);
    if (account === undefined) {
      account = {
        untilMs: nowMs,
        isInRotation: false,
        downSinceMs: nowMs,
        hasServed: false,
        starts: 0,
      };
      this.#accounts.set(replica, account);
    }
    return account;
  }
}

function isWell(process: PretendProcess | undefined, nowMs: number): boolean {
  if (process === undefined || !process.alive) return false;
  const { startedMs, readyAfterMs, hangsFromMs, stall } = process;
  return (
    nowMs >= startedMs + readyAfterMs && nowMs < hangsFromMs && !(nowMs >= stall.fromMs && nowMs < stall.toMs)
  );
}

/** Milliseconds of a span in which it could serve; whether it lives does not change within one. */
function wellWithin(process: PretendProcess | undefined, fromMs: number, toMs: number): number {
  if (process === undefined || !process.alive) return 0;
  const { startedMs, readyAfterMs, hangsFromMs, stall } = process;
  const begin = Math.max(fromMs, startedMs + readyAfterMs);
  const end = Math.min(toMs, hangsFromMs);
  const stalled = Math.max(0, Math.min(end, stall.toMs) - Math.max(begin, stall.fromMs));
  return Math.max(0, end - begin - stalled);
}

/** When it stopped being well, within a span at whose end it is not. */
function brokenSinceMs(process: PretendProcess | undefined, fromMs: number, nowMs: number): number {
  if (process === undefined || !process.alive) return nowMs;
  const { hangsFromMs, stall } = process;
  const stalledMs = nowMs < stall.toMs ? stall.fromMs : Number.POSITIVE_INFINITY;
  return Math.min(nowMs, Math.max(fromMs, Math.min(hangsFromMs, stalledMs)));
}
