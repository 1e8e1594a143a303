/**
 * What the supervisor plane is given and what it offers. Assembly builds the options from the resolved configuration and
 * from drivers; the types are the plane's own, so that neither side depends on the other.
 */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import type { ActionResult, ReplicaStatus } from '../../contract/admin-api.ts';
import type { Fact } from '../../contract/facts.ts';
import type {
  AdapterView,
  ChatTemplate,
  EngineKind,
  EngineProtocol,
  FleetSnapshot,
  ModelCache,
  PoolBatching,
} from '../../contract/fleet.ts';
import type { FlowReading } from '../../contract/flow.ts';
import type { LimitSettings } from '../../contract/limits.ts';
import type { LogKnowledge } from '../../contract/log-rule.ts';
import type { LoraAdapter } from '../../contract/lora.ts';
import type { EngineDriver } from '../../contract/ports/engine-driver.ts';
import type { ProcessHost, ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { ReplicaRecords } from '../../contract/ports/replica-records.ts';
import type { SignalSource } from '../../contract/ports/signal-source.ts';
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';
import type { SaferStep } from '../../contract/safer-launch.ts';
import type { StrategyName } from '../../contract/scheduling.ts';

/** One pool of the configuration. `ResolvedModel` of assembly fits. */
export interface SupervisedModel {
  modelName: string;
  aliases: readonly string[];
  engine: EngineKind;
  servedModel: string;
  /** Origins of engines that run already: watched, never started. */
  urls: readonly string[] | undefined;
  engineKey: Secret | undefined;
  /** What sets each of `urls` apart, in the same order. */
  perUrl: readonly {
    servedModel: string;
    engineKey: Secret | undefined;
    maxBatchSize: number | undefined;
    weight: number | undefined;
  }[];
  /** Models to ask instead of this one. */
  fallbacks: readonly string[];
  replicas: number;
  /** Loaded replicas without traffic, beside `replicas`. Default: 0. */
  standby?: number;
  /** Texts for CUDA_VISIBLE_DEVICES; `adjustment.device` counts them from 1. Default: none. */
  spareDevices?: readonly string[];
  /** Steps of `restart_safer`. Default: none. */
  saferSteps?: readonly SaferStep[];
  model: string;
  command: readonly string[] | undefined;
  env: Readonly<Record<string, string>>;
  /** Undefined: the engine's default. */
  maxBatchSize: number | undefined;
  maxSeqLength: number | undefined;
  threads: number | undefined;
  quantize?: string | undefined;
  tensorParallelSize?: number | undefined;
  /** Further arguments of the engine's own command line. */
  args?: readonly string[];
  /** Default: none. */
  loraAdapters?: readonly LoraAdapter[];
  startTimeoutMs: number;
  /** Default: openai. */
  protocol?: EngineProtocol | undefined;
  chatTemplate?: ChatTemplate | undefined;
  metricsUrl?: string | undefined;
  /** Default: least-connections. */
  strategy?: StrategyName | undefined;
  /** Of all callers together. Default: none. */
  limits?: LimitSettings | undefined;
  /** With {host} and {port} of each engine. */
  gpuMetricsUrl?: string | undefined;
  /** Of one replica against the others; from `perUrl`. Default: 1. */
  weight?: number | undefined;
  /** Default: its answers are not kept for others. */
  cache?: ModelCache | undefined;
  /** Default: each request is a call of its own. */
  batching?: PoolBatching | undefined;
}

/** `SupervisorSettings` of assembly fits. */
export interface SupervisorSettings {
  restartsMax: number;
  restartWindowMs: number;
  backoffInitialMs: number;
  backoffMaxMs: number;
  probeIntervalMs: number;
  probeTimeoutMs: number;
  probeFailuresMax: number;
  /** How long a replica that is taken out of rotation may finish what runs. */
  drainTimeoutMs: number;
  /** Between SIGTERM and SIGKILL. Default 10000. */
  termGraceMs?: number;
}

export interface SupervisorPaths {
  /** Names this installation; the first part of every owner tag. */
  instance: string;
  /** Log files of the engines. */
  logDir: string;
  /** Working directory of the engines. */
  workDir: string;
}

/** Ports of engines on this machine; `createEnginePorts` of drivers fits. */
export interface EnginePorts {
  /** A port that nobody listens on now. */
  free(host: string): Promise<number>;
  /** Where an engine that chooses its own port leaves the number. */
  fileFor(replicaId: string, generation: number): string;
  /** The same file, ready to be written, and none of former starts; null where nothing can be written. */
  prepare(replicaId: string, generation: number): Promise<string | null>;
  /** Null as long as nothing readable is there. */
  read(file: string): Promise<number | null>;
  /** Removes the files of all other replicas. */
  keepOnly(replicaIds: readonly string[]): Promise<void>;
}

export type LogLevel = 'info' | 'warn' | 'error';

export interface SupervisorOptions {
  models: readonly SupervisedModel[];
  settings: SupervisorSettings;
  paths: SupervisorPaths;
  /** Environment that every engine gets beside its own: PATH, HOME and the like. */
  inherited: Readonly<Record<string, string>>;
  clock: Clock;
  /** Seed of the jitter. */
  seed: number;
  processHost: ProcessHost;
  records: ReplicaRecords;
  ports: EnginePorts;
  drivers: ReadonlyMap<EngineKind, EngineDriver>;
  /** Keeps log files of engines within bounds while they are watched. */
  logFiles?: {
    watch(file: string): void;
    unwatch(file: string): void;
    clearFormer(directory: string, current: readonly string[]): Promise<void>;
  };
  /** Reads the end of log files at once; default: nothing is read. `logTail` of drivers fits. */
  logTail?: {
    sizeOf(file: string): number;
    lines(file: string, from: number): string[];
    linesFrom(file: string, from: number): { lines: string[]; next: number };
  };
  /** What lines of an engine's log mean, and those of the kernel (`kernel`). Default: nothing is known. */
  logKnowledge?: (engine: string) => LogKnowledge;
  /** What faults are answered with. */
  policy: RecoveryPolicy;
  /** What looks at engines from outside. Closed with the supervisor. Default: nothing does. */
  sources?: readonly SignalSource[];
  /** What gateways see of the answers of each replica, by id. Default: nothing is known. */
  flow?: () => Promise<Readonly<Record<string, FlowReading>>>;
  /**
   * Gateways end their attempts on a replica and try them elsewhere. `longest`: the one with the longest prompt of those without a
   * token. Resolves to how many were ended. Default: none can be.
   */
  giveUp?: (replicaId: string, which: 'all' | 'longest') => Promise<number>;
  /** Takes evidence of an incident before the process is ended; resolves to its folder, null when none was taken. Default: none is. */
  capture?: (subject: EvidenceSubject, signal: AbortSignal) => Promise<string | null>;
  /**
   * Fresh in-flight counts by replica id, asked of the gateways while a replica drains. A replica that is missing is unknown,
   * and unknown is not 0: 0 means that every gateway that lives was asked and has answered.
   */
  collectInFlight: () => Promise<Readonly<Record<string, number>>>;
  /**
   * How long ago gateways saw a replica give anything of an answer, ms; null: they have not lately, or do not say. Asked when a
   * health probe was not answered in time: who works is busy and not ill. Default: nobody is asked.
   */
  sinceProgressMs?: (replicaId: string) => Promise<number | null>;
  /** Called with each new view of the fleet, at once. */
  onFleet(fleet: FleetSnapshot): void;
  onFact(fact: Fact): void;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
}

/** What evidence is taken of. */
export interface EvidenceSubject {
  incident: string;
  replica: string;
  engine: EngineKind;
  generation: number;
  /** Null: it has ended. */
  process: ProcessIdentity | null;
  url: string | null;
  logFile: string | null;
  /** The signals that are known of it at this moment; plain data. */
  signals: unknown;
  /** What the process was started with, as a hash. */
  launchHash: string;
}

export interface Supervisor {
  /**
   * Adopts what runs, ends what nobody wants, starts the rest. Resolves when that is under way, not when all is ready.
   * The first `onFleet` comes before it resolves.
   */
  start(): Promise<{ adopted: number }>;
  /** The present view; holds every configured pool from the moment `start` has resolved. */
  fleet(): FleetSnapshot;
  status(): ReplicaStatus[];
  /** Adapters that the present process of a replica has loaded, and why others are not there, by name. */
  adaptersOf(replicaId: string): { loaded: AdapterView[]; problems: Readonly<Record<string, string>> };
  /** Resolves true when every managed replica that should run is ready; false when the time is over or `signal` fires. */
  untilReady(timeoutMs: number, signal?: AbortSignal): Promise<boolean>;
  /** Finish what runs, then stop, and stay stopped. The answer says whether it was accepted; `status` shows the rest. */
  drain(replicaId: string): ActionResult;
  /** Drain, then start again; releases from quarantine. */
  restart(replicaId: string): ActionResult;
  /** One replica at a time, never below the floor; drained ones come back first. The answer names what stays as it is. */
  rollingRestart(modelName: string): ActionResult;
  /** A gateway saw an attempt fail; facts about former generations are ignored. Other facts may be passed, too. */
  attemptFailed(fact: Fact): void;
  /** Requests that gateways have in flight on a replica. */
  inFlight(replicaId: string, count: number): void;
  /** Another set of models: new replicas start, vanished ones drain, changed ones are restarted one at a time. */
  configure(models: readonly SupervisedModel[]): void;
  /**
   * `drain`: every engine finishes what runs, then ends. `kill`: SIGKILL at once (may follow on `drain`). `leave`: engines
   * go on without a supervisor. Resolves when no engine is left (or at once with `leave`).
   */
  stop(how: { engines: 'drain' | 'kill' | 'leave' }): Promise<void>;
}
