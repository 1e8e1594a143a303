/** A supervisor over real processes in a state directory of its own, with fast settings, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import type { Fact } from '../../src/contract/facts.ts';
import type { FleetSnapshot } from '../../src/contract/fleet.ts';
import { DEFAULT_RECOVERY_POLICY } from '../../src/contract/recovery-defaults.ts';
import { logKnowledgeOf } from '../../src/drivers/engines/log-rules.ts';
import { vllm } from '../../src/drivers/engines/vllm.ts';
import { createEnginePorts } from '../../src/drivers/process/engine-ports.ts';
import { createProcessHost } from '../../src/drivers/process/local-process-host.ts';
import { logTail } from '../../src/drivers/process/log-tail.ts';
import { openReplicaRecords } from '../../src/drivers/storage/replica-records.ts';
import { createSupervisor } from '../../src/planes/supervisor/supervisor.ts';
import type {
  SupervisedModel,
  Supervisor,
  SupervisorOptions,
  SupervisorSettings,
} from '../../src/planes/supervisor/supervisor-options.ts';

const FAKE_ENGINE = fileURLToPath(new URL('./fake-engine.mjs', import.meta.url));

export interface Supervised {
  supervisor: Supervisor;
  facts: Fact[];
  fleets: { atMs: number; fleet: FleetSnapshot }[];
  log: string[];
  stateOf(id: string): string;
}

export class StateDirectory {
  readonly root = mkdtempSync(join(tmpdir(), 'autoglm-supervisor-'));
  readonly instance = `test-${process.pid}-${this.root.slice(-6)}`;
  readonly processHost = createProcessHost({ environment: process.env });
  readonly #running = new Set<Supervisor>();

  supervise(
    models: SupervisedModel[],
    settings: Partial<SupervisorSettings> = {},
    more: Partial<SupervisorOptions> = {},
  ): Supervised {
    const facts: Fact[] = [];
    const fleets: { atMs: number; fleet: FleetSnapshot }[] = [];
    const log: string[] = [];
    const supervisor: Supervisor = createSupervisor({
      models,
      settings: { ...FAST, ...settings },
      paths: { instance: this.instance, logDir: join(this.root, 'logs'), workDir: this.root },
      inherited: {},
      clock: systemClock,
      seed: 7,
      processHost: this.processHost,
      records: openReplicaRecords(join(this.root, 'replicas')),
      ports: createEnginePorts(join(this.root, 'ports')),
      drivers: new Map([['vllm', vllm]]),
      logTail,
      logKnowledge: logKnowledgeOf,
      policy: DEFAULT_RECOVERY_POLICY,
      collectInFlight: async () => Object.fromEntries(supervisor.status().map(({ id }) => [id, 0])),
      onFleet: (fleet) => fleets.push({ atMs: performance.now(), fleet }),
      onFact: (fact) => facts.push(fact),
      log: (level, message, detail) => log.push(`${level} ${message} ${JSON.stringify(detail ?? {})}`),
      ...more,
    });
    this.#running.add(supervisor);
    const stateOf = (id: string) => supervisor.status().find((status) => status.id === id)?.state ?? 'absent';
    return { supervisor, facts, fleets, log, stateOf };
  }

  /** Processes of this directory that live. */
  living(): number[] {
    return this.processHost.findOwned(`${this.instance}:`).map(({ identity }) => identity.pid);
  }

  async remove(): Promise<void> {
    for (const supervisor of this.#running) await supervisor.stop({ engines: 'leave' });
    this.processHost.killOwned(`${this.instance}:`);
    await until(() => this.living().length === 0, 'all processes of the test have ended');
    rmSync(this.root, { recursive: true, force: true });
  }
}

export const FAST: SupervisorSettings = {
  restartsMax: 5,
  restartWindowMs: 60_000,
  backoffInitialMs: 50,
  backoffMaxMs: 400,
  probeIntervalMs: 100,
  probeTimeoutMs: 1_000,
  probeFailuresMax: 2,
  drainTimeoutMs: 5_000,
  termGraceMs: 500,
};

export function fakeModel(more: Partial<SupervisedModel> = {}, manners = ''): SupervisedModel {
  return {
    modelName: 'demo',
    aliases: [],
    engine: 'vllm',
    servedModel: 'demo',
    urls: undefined,
    engineKey: undefined,
    perUrl: [],
    fallbacks: [],
    replicas: 1,
    model: 'demo',
    command: [process.execPath, FAKE_ENGINE, '--port', '{port}', '--model', '{model}'],
    env: { FAKE_ENGINE: manners },
    maxBatchSize: undefined,
    maxSeqLength: undefined,
    threads: undefined,
    startTimeoutMs: 20_000,
    ...more,
  };
}

export async function until(holds: () => boolean, what: string, timeoutMs = 20_000): Promise<void> {
  const startMs = performance.now();
  while (!holds()) {
    if (performance.now() - startMs > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
