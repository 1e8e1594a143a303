/**
 * Bodies of the admin API (`/api/v1/...` on the admin port). `client/` reads them, `assembly/admin-server` writes them.
 */
import type { EngineKind, ReplicaState } from './fleet.ts';

export interface ReplicaStatus {
  id: string;
  model: string;
  engine: EngineKind;
  state: ReplicaState;
  /** Why it is in that state, in one readable sentence. */
  reason: string;
  /** `external` replicas are watched, not started. */
  managed: boolean;
  generation: number;
  url: string | null;
  pid: number | null;
  inFlight: number;
  window: number;
  /** How much of its weight counts because it is slower than its peers, 0 to 1; absent: all of it. */
  speedShare?: number;
  /** It is loaded, or is being brought back, to take the place of another one that fails; absent: it shall take traffic. */
  standby?: true;
  /** Unasked restarts since the record began. */
  restarts: number;
  /** Milliseconds in the present state. */
  stateForMs: number;
  lastIncident: { atMs: number; summary: string } | null;
  logFile: string | null;
}

export interface PoolStatus {
  model: string;
  aliases: string[];
  /** Whether the configuration (or its default) names it, or it was loaded at run time. */
  source: 'file' | 'runtime';
  /** It was unloaded, and its engines have not ended yet. */
  leaving: boolean;
  ready: number;
  total: number;
  queued: number;
  replicas: ReplicaStatus[];
}

/** A name that was written in the configuration, or given at run time. */
export interface SourcedName {
  name: string;
  source: 'file' | 'runtime';
}

export interface ModelStatus {
  model: string;
  source: 'file' | 'runtime';
  /** `unloaded`: the configuration names it, and it was unloaded at run time. */
  state: 'served' | 'leaving' | 'unloaded';
  engine: EngineKind;
  /** Path, address or name of what is loaded; addresses of engines that are watched. */
  what: string;
  ready: number;
  replicas: number;
  /** What the configuration says, where it was scaled at run time. */
  replicasInFile: number | null;
  aliases: SourcedName[];
  /** `ready`: replicas that have it loaded. `problem`: why one has not. */
  adapters: (SourcedName & { path: string; ready: number; problem: string | null })[];
}

export interface ModelList {
  models: ModelStatus[];
  /** What does not count as it was asked for, and why. */
  notes: string[];
}

export interface GatewayStatus {
  id: string;
  pid: number;
  state: 'starting' | 'listening' | 'draining' | 'away';
  address: string;
  workers: { index: number; state: string; restarts: number }[];
  inFlight: number;
  queued: number;
}

export interface SystemStatus {
  release: string;
  node: {
    pid: number;
    startedAtMs: number;
    adoptedEngines: number;
    stateDir: string;
    configPath: string | null;
  };
  gatewayAddress: string;
  adminAddress: string;
  gateways: GatewayStatus[];
  pools: PoolStatus[];
}

/** Every answer of the admin API carries this header, so that a client knows whom it talks to. The value is the release. */
export const ADMIN_HEADER = 'x-autoglm-admin';

/** POST /api/v1/actions/<name> */
export interface ActionResult {
  ok: boolean;
  message: string;
}

/*
 * Routes:
 *   GET  /api/v1/status                          -> SystemStatus
 *   GET  /api/v1/facts?limit=N                   -> { facts: Fact[] }
 *   POST /api/v1/replicas/:pool/:ordinal/drain   -> ActionResult   (finish what runs, then stop; stays stopped)
 *   POST /api/v1/replicas/:pool/:ordinal/restart -> ActionResult   (drain, then start again; releases quarantine)
 *   POST /api/v1/pools/:pool/restart             -> ActionResult   (rolling, one replica at a time)
 *   POST /api/v1/gateway/restart                 -> ActionResult   (new process beside the old, then two-phase drain)
 *   POST /api/v1/node/restart                    -> ActionResult
 *   GET  /api/v1/models                          -> ModelList
 *   POST /api/v1/models {an entry of `models`}   -> ActionResult   (load: its replicas start)
 *   DELETE /api/v1/models/:model                 -> ActionResult   (unload: drain, then end its engines)
 *   PATCH  /api/v1/models/:model { replicas }    -> ActionResult
 *   PUT    /api/v1/models/:model/aliases/:alias { move?: boolean } -> ActionResult
 *   DELETE /api/v1/models/:model/aliases/:alias  -> ActionResult
 *   PUT    /api/v1/models/:model/adapters/:adapter { path }        -> ActionResult
 *   DELETE /api/v1/models/:model/adapters/:adapter                 -> ActionResult
 *   GET  /api/v1/suspects                        -> { suspects: SuspectRecord[] }
 *   GET  /api/v1/suspects/:fingerprint           -> SuspectRecord  (the beginning of a fingerprint will do)
 *   POST /api/v1/suspects/:fingerprint/release   -> ActionResult
 *   POST /api/v1/stop { immediate?: boolean }    -> ActionResult
 *   GET  /metrics, /livez, /readyz, /startupz, /health
 *   GET  /                                       -> status page (HTML)
 */
