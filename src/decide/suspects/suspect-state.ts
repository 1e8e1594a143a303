/** What the decider of suspect requests knows and is told. Times are wall milliseconds, and always passed in. */
import type { QuarantineSettings, SuspectRecord } from '../../contract/suspects.ts';

/** A life of a replica that ended with requests on it. */
export interface CrashedRun {
  replica: string;
  generation: number;
  pool: string;
  atMs: number;
  /** Fingerprints that had not been answered at all, and for how long they had run. */
  unanswered: ReadonlyMap<string, number>;
  /** Requests that told of it. */
  witnesses: number;
  /** It was the engine that died, and not a connection. */
  confirmed: boolean;
}

/** Where a request may go: this replica only. */
export interface Permit {
  replica: string;
  generation: number;
  /** Nothing else may be there. */
  alone: boolean;
  grantedMs: number;
  placedMs: number | null;
  tokenMs: number | null;
}

/** A request that waits for a verdict, or runs under a permit. */
export interface Ask {
  id: number;
  fingerprint: string;
  pool: string;
  /** The stream had begun: its client waits in the middle of an answer. */
  committed: boolean;
  /** How long it had run when its replica died. */
  runningMs: number;
  /** Key of the run that it was on; null: it is new. */
  run: string | null;
  /** Since when it waits although a replica is ready; null: none was. */
  servableMs: number | null;
  permit: Permit | null;
}

export interface SuspectState {
  /** By fingerprint. */
  records: ReadonlyMap<string, SuspectRecord>;
  /** By `replica@generation`. */
  runs: ReadonlyMap<string, CrashedRun>;
  asks: ReadonlyMap<number, Ask>;
  /** Attempts that an engine answered with an error: crashes if it is seen dead soon after. */
  errored: readonly Crashed[];
  /** By pool: the run that suspects are sent to one after the other, and that other suspects stay away from. */
  isolation: ReadonlyMap<string, string>;
  /** Suspected fingerprints that got as far as a first token since the crash. */
  passed: ReadonlySet<string>;
}

export interface ReplicaNow {
  id: string;
  generation: number;
  ready: boolean;
  /** Not ready because it was told so: nothing died. */
  planned: boolean;
  /** Its probes are not answered in time, and its port is open: it is busy, or stands still, and lives. */
  late: boolean;
  /** It is ready, or will be by itself. */
  comesBack: boolean;
  inFlight: number;
}

export interface FleetNow {
  /** By pool. */
  pools: ReadonlyMap<string, readonly ReplicaNow[]>;
}

export interface Crashed {
  atMs: number;
  fingerprint: string;
  model: string;
  endpoint: string;
  requestId: string;
  pool: string;
  replica: string;
  generation: number;
  /** From the start of the attempt. */
  runningMs: number;
  committed: boolean;
}

export type SuspectEvent =
  /** A request lost its engine. `ask`: it wants to know what next; null: it is over. `former`: the ask that it ran under. */
  | (Crashed & { type: 'crashed'; ask: number | null; former: number | null; surely: boolean })
  /** An engine answered with an error of its own. */
  | (Crashed & { type: 'errored' })
  /** A new request whose fingerprint is known. */
  | { type: 'arrived'; atMs: number; ask: number; fingerprint: string; pool: string }
  | { type: 'placed'; atMs: number; ask: number }
  /** Its first token came. */
  | { type: 'answering'; atMs: number; ask: number }
  /** The request is over, however it ended. */
  | { type: 'ended'; atMs: number; ask: number | null; fingerprint: string; completed: boolean }
  | { type: 'ticked'; atMs: number }
  /** A person lets it go. */
  | { type: 'released'; atMs: number; fingerprint: string }
  /** What others know. */
  | { type: 'heard'; atMs: number; records: readonly SuspectRecord[] };

export type Verdict =
  /** Anywhere, but rather not on these runs. */
  | { kind: 'go'; avoid: readonly string[] }
  | { kind: 'place'; replica: string; generation: number; alone: boolean }
  | { kind: 'refuse'; record: SuspectRecord };

export interface SuspectStep {
  state: SuspectState;
  answers: readonly { ask: number; verdict: Verdict }[];
}

export type SuspectTimes = Pick<QuarantineSettings, 'suspectTtlMs' | 'holdTtlMs' | 'convictTtlMs'>;

export function startSuspects(records: readonly SuspectRecord[] = []): SuspectState {
  return {
    records: new Map(records.map((record) => [record.fingerprint, record])),
    runs: new Map(),
    asks: new Map(),
    errored: [],
    isolation: new Map(),
    passed: new Set(),
  };
}

export function runKey({ replica, generation }: { replica: string; generation: number }): string {
  return `${replica}@${generation}`;
}
