/** Builds the supervisor plane: drivers of engines, records on disk, ports and log files. */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Fact } from '../contract/facts.ts';
import type { FleetSnapshot } from '../contract/fleet.ts';
import type { ProcessHost } from '../contract/ports/process-host.ts';
import { logKnowledgeOf } from '../drivers/engines/log-rules.ts';
import { createEnginePorts } from '../drivers/process/engine-ports.ts';
import type { LogRotation } from '../drivers/process/log-rotation.ts';
import { logTail } from '../drivers/process/log-tail.ts';
import { openReplicaRecords } from '../drivers/storage/replica-records.ts';
import { type FenceGuard, fencedRecords } from '../planes/supervisor/fenced.ts';
import { createSupervisor } from '../planes/supervisor/supervisor.ts';
import type { Supervisor, SupervisorOptions } from '../planes/supervisor/supervisor-options.ts';
import type { ResolvedConfig, ResolvedModel } from './config/resolve-config.ts';
import { engineDrivers } from './engines.ts';
import type { LogLevel } from './node-log.ts';
import type { SignalMetrics } from './signal-metrics.ts';
import { createSignalSources } from './signal-sources.ts';

export interface AssembleSupervisorOptions {
  config: ResolvedConfig;
  /** Those of the file, with what was changed at run time. */
  models: readonly ResolvedModel[];
  clock: Clock;
  processHost: ProcessHost;
  guard: FenceGuard | null;
  logFiles: LogRotation;
  onFleet(fleet: FleetSnapshot): void;
  onFact(fact: Fact): void;
  collectInFlight(): Promise<Record<string, number>>;
  sinceProgressMs(replicaId: string): Promise<number | null>;
  flow: NonNullable<SupervisorOptions['flow']>;
  giveUp: NonNullable<SupervisorOptions['giveUp']>;
  signalMetrics: SignalMetrics;
  capture: NonNullable<SupervisorOptions['capture']>;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
}

export function assembleSupervisor({ config, guard, ...parts }: AssembleSupervisorOptions): Supervisor {
  const { paths } = config;
  const records = openReplicaRecords(paths.engineDir);
  return createSupervisor({
    ...parts,
    settings: config.supervisor,
    paths: { instance: paths.instance, logDir: paths.logDir, workDir: paths.root },
    inherited: config.inherited,
    seed: randomInt(2 ** 32),
    records: guard === null ? records : fencedRecords(records, guard),
    ports: createEnginePorts(join(paths.engineDir, 'ports')),
    drivers: engineDrivers,
    logTail,
    logKnowledge: logKnowledgeOf,
    policy: config.recovery,
    sources: createSignalSources({ config, ...parts }),
  });
}
