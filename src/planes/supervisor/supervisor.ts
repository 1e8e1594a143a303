/**
 * The supervisor plane: the recovery machine, driven. It carries effects out (`EffectRunner`), feeds results and time back
 * (`RecoveryLoop`), and publishes each new view of the fleet before anything slower is done.
 *
 * Invariant: only the machine decides. Assembly builds one supervisor per node process.
 */

import { Waiters } from '../../base/waiters.ts';
import type { ActionResult, ReplicaStatus } from '../../contract/admin-api.ts';
import type { Fact } from '../../contract/facts.ts';
import type { FleetSnapshot, ReplicaState } from '../../contract/fleet.ts';
import type { EngineTarget } from '../../contract/ports/engine-driver.ts';
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import { createFleetState } from '../../decide/recovery/fleet-state.ts';
import type { RecoveryEffect, RecoveryNotice } from '../../decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../decide/recovery/recovery-event.ts';
import type { RecoverySettings } from '../../decide/recovery/recovery-settings.ts';
import { type Replica, stateOf } from '../../decide/recovery/replica.ts';
import { AdapterKeeper } from './adapter-keeper.ts';
import { bootEvents } from './boot.ts';
import { type CommandParts, drainReplica, restartPool, restartReplica } from './commands.ts';
import { DrainWatch } from './drain-watch.ts';
import { EffectRunner } from './effect-runner.ts';
import { FleetPublisher } from './fleet-publisher.ts';
import { fleetSnapshot, replicaStatuses, type ViewParts } from './fleet-view.ts';
import { incidentFact } from './incident-fact.ts';
import { logFileOf } from './launch-replica.ts';
import { longestEndMs, recoverySettings } from './machine-settings.ts';
import { engineTarget } from './mend-engine.ts';
import type { Moment } from './record-times.ts';
import { RecoveryLoop } from './recovery-loop.ts';
import { type SupervisedReplica, supervisedReplicas } from './supervised-replica.ts';
import type { SupervisedModel, Supervisor, SupervisorOptions } from './supervisor-options.ts';
import { EngineWatch } from './watch/engine-watch.ts';

export function createSupervisor(options: SupervisorOptions): Supervisor {
  return new SupervisorPlane(options);
}

class SupervisorPlane implements Supervisor {
  readonly #options: SupervisorOptions;
  readonly #settings: RecoverySettings;
  readonly #loop: RecoveryLoop;
  readonly #watch: EngineWatch;
  readonly #runner: EffectRunner;
  readonly #publisher: FleetPublisher;
  readonly #drainWatch: DrainWatch;
  readonly #adapters: AdapterKeeper;
  readonly #waiters = new Waiters();
  #models: readonly SupervisedModel[];
  #replicas: Map<string, SupervisedReplica>;
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#settings = recoverySettings(options.settings, options.policy);
    this.#models = options.models;
    this.#replicas = byId(options);
    const { clock, seed } = options;
    this.#loop = new RecoveryLoop(
      createFleetState(this.#settings, seed, clock.monotonicMs(), clock.wallMs() - clock.monotonicMs()),
      {
        clock,
        onEffect: (effect) => this.#tryEffect(effect),
        onStep: () => this.#onStep(),
      },
    );
    this.#watch = new EngineWatch({
      options,
      monitoring: options.policy.monitoring,
      state: () => this.#loop.state,
      supervised: (id) => this.#replicas.get(id),
      targetOf: (id) => this.#targetOf(id),
      deliver: (event) => this.#loop.deliver(event),
    });
    this.#runner = new EffectRunner({
      options,
      supervised: (id) => this.#replicas.get(id),
      urlOf: (id) => this.#loop.state.replicas[id]?.url ?? null,
      now: () => this.#now(),
      watch: this.#watch,
      adjustmentOf: (id) => this.#loop.state.replicas[id]?.adjustment ?? NO_ADJUSTMENT,
      deliver: (event) => this.#loop.deliver(event),
    });
    this.#publisher = new FleetPublisher({
      state: () => this.#loop.state,
      view: () => this.fleet(),
      onFleet: options.onFleet,
    });
    this.#adapters = new AdapterKeeper({
      options,
      supervised: (id) => this.#replicas.get(id),
      onChange: () => this.#publisher.publish(),
    });
    this.#drainWatch = new DrainWatch({
      ...options,
      draining: () => Object.values(this.#loop.state.replicas).filter(isDraining),
      report: (replica, count) => this.inFlight(replica, count),
    });
  }

  async start(): Promise<{ adopted: number }> {
    const { records, log } = this.#options;
    const { records: found, setAside } = await records.readAll();
    for (const { file, problem } of setAside)
      log('error', 'a record of a replica could not be read and was set aside', { file, problem });
    const events = await this.#reachable(
      bootEvents(this.#options, found, this.#now(), this.#settings.backoff.maxMs * 2),
    );
    let adopted = 0;
    for (const event of events) {
      if (event.type === 'adopted') {
        adopted++;
        this.#runner.watch(event.replica, event.generation, event.process);
      } else if (event.type === 'strayFound') {
        this.#runner.watch(event.name, event.generation, event.process);
      } else if (event.type === 'recalled') {
        this.#runner.endLeftovers(event.memory.id, event.memory.generation);
      }
    }
    this.#loop.deliver(...events, { type: 'configured', replicas: this.#specs() });
    this.#publisher.open();
    this.#watch.start();
    this.#clearFormer();
    log('info', 'supervising', { replicas: this.#replicas.size, adopted });
    return { adopted };
  }

  /**
   * A living engine whose address nobody knows (its port file is gone with the state directory) can serve no one: it is ended
   * as a stray, and its replica starts anew.
   */
  async #reachable(events: readonly RecoveryEvent[]): Promise<RecoveryEvent[]> {
    const { ports, log } = this.#options;
    const reachable: RecoveryEvent[] = [];
    for (const event of events) {
      const lost =
        event.type === 'adopted' &&
        event.url === null &&
        (await ports.read(ports.fileFor(event.replica, event.generation))) === null;
      if (!lost) {
        reachable.push(event);
        continue;
      }
      const { replica, generation, process, memory } = event;
      log('warn', 'a running engine has no known address and is replaced', { replica, pid: process.pid });
      reachable.push({
        type: 'strayFound',
        name: `${replica} (pid ${process.pid}, no address)`,
        generation,
        process,
      });
      if (memory !== null) reachable.push({ type: 'recalled', memory: { ...memory, process: null } });
    }
    return reachable;
  }

  fleet(): FleetSnapshot {
    return fleetSnapshot(this.#loop.state, this.#view);
  }

  status(): ReplicaStatus[] {
    return replicaStatuses(this.#loop.state, this.#view, this.#now(), (id) => logFileOf(this.#options, id));
  }

  adaptersOf(replicaId: string): ReturnType<Supervisor['adaptersOf']> {
    const replica = this.#loop.state.replicas[replicaId];
    if (replica === undefined) return { loaded: [], problems: {} };
    const loaded = this.#adapters.servable(replicaId, replica.generation);
    return { loaded, problems: this.#adapters.problems(replicaId) };
  }

  async untilReady(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const settled = () => this.#wanted().every(({ phase }) => !isOnItsWay(phase.name));
    await this.#waiters.until(settled, timeoutMs, signal);
    return this.#wanted().every((replica) => isServing(stateOf(replica)));
  }

  drain(replicaId: string): ActionResult {
    return drainReplica(this.#commandParts, replicaId);
  }

  restart(replicaId: string): ActionResult {
    return restartReplica(this.#commandParts, replicaId);
  }

  rollingRestart(modelName: string): ActionResult {
    return restartPool(this.#commandParts, modelName);
  }

  attemptFailed(fact: Fact): void {
    if (fact.type !== 'attemptFailed') return;
    const { replica, generation, failure } = fact;
    if (failure === 'empty-response') this.#watch.noteEmptySuccess(replica, generation);
    this.#loop.deliver({ type: 'attemptFailed', replica, generation });
  }

  inFlight(replicaId: string, count: number): void {
    this.#loop.deliver({ type: 'inFlightReported', replica: replicaId, count });
  }

  configure(models: readonly SupervisedModel[]): void {
    const leaving = [...this.#replicas].filter(([id]) => this.#loop.state.replicas[id] !== undefined);
    this.#models = models;
    const { drivers } = this.#options;
    const wanted = byId({ models, drivers });
    this.#replicas = new Map([...wanted, ...leaving.filter(([id]) => !wanted.has(id))]);
    this.#loop.deliver({ type: 'configured', replicas: [...wanted.values()].map(({ spec }) => spec) });
  }

  async stop({ engines }: { engines: 'drain' | 'kill' | 'leave' }): Promise<void> {
    if (engines !== 'leave' && !this.#closed) {
      this.#loop.deliver({ type: 'endRequested', how: engines });
      const isEmpty = () => Object.keys(this.#loop.state.replicas).length === 0;
      await this.#waiters.until(isEmpty, longestEndMs(this.#settings));
      if (!isEmpty()) {
        const left = Object.keys(this.#loop.state.replicas).join(', ');
        this.#options.log('error', 'engines do not end', { left });
      }
    }
    this.#closed = true;
    this.#loop.close();
    this.#publisher.close();
    this.#drainWatch.close();
    this.#adapters.close();
    await this.#watch.close();
    await this.#runner.close();
    this.#waiters.close();
  }

  get #view(): ViewParts {
    const adaptersOf = ({ spec, generation }: Replica) => this.#adapters.servable(spec.id, generation);
    const adapterProblemsOf = ({ spec }: Replica) => this.#adapters.problems(spec.id);
    const { drivers, policy } = this.#options;
    return { models: this.#models, replicas: this.#replicas, drivers, policy, adaptersOf, adapterProblemsOf };
  }

  #specs() {
    return [...this.#replicas.values()].map(({ spec }) => spec);
  }

  #now(): Moment {
    const { clock } = this.#options;
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
  }

  get #commandParts(): CommandParts {
    const { state } = this.#loop;
    const known = [...this.#replicas.keys()];
    return { state, models: this.#models, known, deliver: (event) => this.#loop.deliver(event) };
  }

  /** What one effect breaks must not cost the ones after it; an order that was lost here times out. */
  #tryEffect(effect: RecoveryEffect): void {
    try {
      this.#onEffect(effect);
    } catch (error) {
      const { type } = effect;
      this.#options.log('error', 'an effect could not be carried out', { type, error: String(error) });
    }
  }

  #onEffect(effect: RecoveryEffect): void {
    switch (effect.type) {
      case 'spawn':
      case 'find':
      case 'signal':
      case 'probe':
      case 'capture':
      case 'mend':
      case 'persist':
        return this.#runner.carryOut(effect);
      default:
        return this.#onNotice(effect);
    }
  }

  #onNotice(notice: RecoveryNotice): void {
    const { log, onFact, clock } = this.#options;
    switch (notice.type) {
      case 'publish':
        return this.#publisher.publish();
      case 'forget':
        this.#runner.forget(notice.replica);
        return this.#clearFormer();
      case 'tell':
        return log(notice.level === 'page' ? 'error' : 'info', notice.text, { subject: notice.subject });
      case 'incident':
        return onFact(
          incidentFact(notice.replica, notice.news, this.#now(), this.#watch.lastGoodMs(notice.replica)),
        );
      case 'announce': {
        const { replica, generation, from, to, reason } = notice;
        const atMs = clock.wallMs();
        return onFact({ type: 'replicaStateChanged', atMs, replica, generation, from, to, reason });
      }
    }
  }

  #targetOf(id: string): EngineTarget | null {
    const url = this.#loop.state.replicas[id]?.url ?? null;
    const watched = this.#replicas.get(id);
    return url === null || watched === undefined ? null : engineTarget(watched.model, url);
  }

  /** Files of replicas that are gone. */
  #clearFormer(): void {
    const { ports, logFiles, paths } = this.#options;
    const ids = Object.keys(this.#loop.state.replicas);
    void ports.keepOnly(ids);
    void logFiles?.clearFormer(
      paths.logDir,
      ids.map((id) => logFileOf(this.#options, id)),
    );
  }

  #onStep(): void {
    this.#waiters.check();
    this.#drainWatch.check();
    this.#runner.review(this.#loop.state);
    this.#adapters.review(this.#loop.state);
    this.#publisher.checkReasons();
  }

  /** Replicas that shall run, of ours. */
  #wanted(): Replica[] {
    return Object.values(this.#loop.state.replicas).filter(
      ({ spec, goal }) => spec.managed && goal.kind !== 'stop' && goal.kind !== 'remove',
    );
  }
}

function isServing(state: ReplicaState): boolean {
  return state === 'ready' || state === 'standby';
}

function isDraining({ phase }: Replica): boolean {
  return phase.name === 'draining';
}

function isOnItsWay(phase: Replica['phase']['name']): boolean {
  return phase !== 'serving' && phase !== 'ailing' && phase !== 'quarantined' && phase !== 'stopped';
}

function byId({
  models,
  drivers,
}: Pick<SupervisorOptions, 'models' | 'drivers'>): Map<string, SupervisedReplica> {
  return new Map(supervisedReplicas(models, drivers).map((supervised) => [supervised.spec.id, supervised]));
}
