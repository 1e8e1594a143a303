/** What the admin server serves: the running system as its routes see it. `assembly/node-system.ts` is the real one. */
import type { ActionResult, ModelList, SystemStatus } from '../../contract/admin-api.ts';
import type { Fact } from '../../contract/facts.ts';
import type { IncidentEvidence, IncidentReport, IncidentSummary } from '../../contract/incident-report.ts';
import type { SuspectRecord } from '../../contract/suspects.ts';

/** `starting` until the gateway listens and one replica is ready for the first time, `stopping` from the first signal on. */
export type NodePhase = 'starting' | 'serving' | 'stopping';

export interface AdminSystem {
  readonly phase: NodePhase;
  /** A gateway listens and at least one replica takes traffic. */
  readonly canServe: boolean;
  status(): Promise<SystemStatus>;
  /** The most recent facts, newest first. */
  facts(limit: number): Fact[];
  /** Prometheus text of the node process and of all gateways. */
  metrics(): Promise<string>;
  /** All actions throw PlatformError `not_found` or `conflict` where they cannot be done. */
  drainReplica(id: string): Promise<ActionResult>;
  restartReplica(id: string): Promise<ActionResult>;
  restartPool(model: string): Promise<ActionResult>;
  readonly models: ModelAdmin;
  /** Requests that were in flight when engines died; what changed last first. */
  suspects(): SuspectRecord[];
  /** By its fingerprint, or the beginning of it. Throws `not_found`, `invalid_request`. */
  suspect(fingerprint: string): SuspectRecord;
  releaseSuspect(fingerprint: string): ActionResult;
  /** Newest first. */
  incidents(): IncidentSummary[];
  /** By its id, or the beginning of it. Throws `not_found`, `invalid_request`. */
  incident(id: string): IncidentReport;
  incidentEvidence(id: string): Promise<IncidentEvidence>;
  restartGateway(): Promise<ActionResult>;
  restartNode(): ActionResult;
  stop(immediate: boolean): ActionResult;
}

/**
 * The models, changed while everything runs. Each answers when the change is on disk and under way; all throw PlatformError,
 * and nothing has changed then.
 */
export interface ModelAdmin {
  list(): ModelList;
  /** `entry`: as in `models` of the configuration. `trusted`: the caller has shown a key. */
  load(entry: Record<string, unknown>, trusted: boolean): Promise<ActionResult>;
  unload(model: string): Promise<ActionResult>;
  scale(model: string, replicas: unknown): Promise<ActionResult>;
  setAlias(model: string, alias: string, move: boolean): Promise<ActionResult>;
  removeAlias(model: string, alias: string): Promise<ActionResult>;
  setAdapter(model: string, adapter: string, path: unknown): Promise<ActionResult>;
  removeAdapter(model: string, adapter: string): Promise<ActionResult>;
}
