/**
 * Suspect requests: what is known of requests that were in flight when engines died, by fingerprint and never by text. Gateways
 * decide, the node process keeps the list and hands it to all gateways; of two records the one that changed last counts.
 */
export const SUSPECT_STATUSES = [
  /** Present at one crash: sent again with care. */
  'suspected',
  /** Present at crashes of two replicas: sent only where it is alone. */
  'accused',
  /** As `accused`, and no replica could be spared for it: refused for a while. */
  'held',
  /** A replica died while it was alone there: refused. */
  'convicted',
  /** Found harmless, or let go by a person. Kept for a while so that no gateway remembers otherwise. */
  'released',
] as const;
export type SuspectStatus = (typeof SUSPECT_STATUSES)[number];

export interface SuspectCrash {
  replica: string;
  generation: number;
  atMs: number;
  /** Nothing else was in flight there. */
  alone: boolean;
  /** No other replica of the model was ready. Default: another was. */
  only?: true;
}

export interface SuspectRecord {
  /** Keyed hash, hex: of endpoint, model and content; the same for all who send it. */
  fingerprint: string;
  model: string;
  endpoint: string;
  status: SuspectStatus;
  /** Oldest first. */
  crashes: readonly SuspectCrash[];
  /** One of the requests, to be found in the gateway's log. */
  requestId: string;
  changedAtMs: number;
  /** Its status ends then. */
  expiresAtMs: number;
}

export interface QuarantineSettings {
  enabled: boolean;
  /** Hex; what fingerprints are made with. */
  fingerprintKey: string;
  /** How long a request is suspected after the crash. */
  suspectTtlMs: number;
  /** How long one is refused that was present at two crashes and could not be tried alone. */
  holdTtlMs: number;
  /** How long one is refused that killed a replica alone. */
  convictTtlMs: number;
}

/** Records that are kept at most. */
export const SUSPECTS_MAX = 1_000;

export function isRefused({ status }: Pick<SuspectRecord, 'status'>): boolean {
  return status === 'held' || status === 'convicted';
}
