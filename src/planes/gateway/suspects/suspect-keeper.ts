/**
 * The list of suspect requests of a gateway, in its main thread: asks the decider (`decide/suspects`) for each thing that
 * workers tell, hands verdicts back, closes replicas on which a request is tried alone, and says which records changed.
 */
import type { Clock } from '../../../base/clock.ts';
import type { ReplicaState, ReplicaView } from '../../../contract/fleet.ts';
import { type QuarantineSettings, SUSPECT_STATUSES, type SuspectRecord } from '../../../contract/suspects.ts';
import { stepSuspects } from '../../../decide/suspects/step.ts';
import {
  type FleetNow,
  type ReplicaNow,
  runKey,
  type SuspectEvent,
  type SuspectState,
  startSuspects,
} from '../../../decide/suspects/suspect-state.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import type { ReplicaGates } from '../health/replica-gates.ts';
import { type FromDesk, type ToDesk, workerOf } from './suspect-messages.ts';

export interface SuspectKeeperOptions {
  clock: Clock;
  gates: ReplicaGates;
  inFlight(slot: number): number;
  records: readonly SuspectRecord[];
  tellWorker(worker: number, message: ToDesk): void;
  tellAll(message: ToDesk): void;
  /** Not by what others told. */
  onChanged(records: readonly SuspectRecord[]): void;
}

/** While requests wait for a verdict, time alone may bring it. */
const WAITING_MS = 20;
const PLANNED: readonly ReplicaState[] = ['draining', 'stopping', 'stopped'];

export class SuspectKeeper {
  readonly #options: SuspectKeeperOptions;
  #state: SuspectState;
  #settings: QuarantineSettings | undefined;
  #replicas: (Pick<ReplicaView, 'id' | 'generation' | 'state' | 'late'> & { pool: string; slot: number })[] =
    [];
  /** Slots of replicas that are closed, because a request is tried alone there. */
  #reserved = new Set<number>();
  #timer: NodeJS.Timeout | null = null;
  /** What workers know to be listed. */
  readonly #listed = new Set<string>();
  /** Not said yet; what many tell in one moment is passed on together. */
  readonly #news = new Map<string, SuspectRecord>();

  constructor(options: SuspectKeeperOptions) {
    this.#options = options;
    this.#state = startSuspects(options.records);
    for (const { fingerprint, status } of options.records)
      if (status !== 'released') this.#listed.add(fingerprint);
  }

  get records(): SuspectRecord[] {
    return [...this.#state.records.values()];
  }

  /** How many there are of each status. */
  counts(): Record<(typeof SUSPECT_STATUSES)[number], number> {
    const counts = Object.fromEntries(SUSPECT_STATUSES.map((status) => [status, 0])) as ReturnType<
      SuspectKeeper['counts']
    >;
    for (const { status } of this.#state.records.values()) counts[status]++;
    return counts;
  }

  update({ snapshot, replicaSlots }: SlottedSnapshot): void {
    const { quarantine } = snapshot.settings;
    this.#settings = quarantine?.enabled === true ? quarantine : undefined;
    if (this.#settings === undefined) this.#letGo();
    this.#replicas = snapshot.fleet.pools.flatMap(({ model, replicas }) =>
      replicas.flatMap(({ id, generation, state, late }) => {
        const slot = replicaSlots[id];
        return slot === undefined
          ? []
          : [{ pool: model, id, generation, state, slot, ...(late === true && { late }) }];
      }),
    );
    this.tick();
  }

  /** It was switched off: nobody waits for a verdict any more, and no replica is kept for anybody. */
  #letGo(): void {
    const { asks } = this.#state;
    if (asks.size === 0) return;
    this.#state = startSuspects(this.records);
    for (const ask of asks.keys())
      this.#options.tellWorker(workerOf(ask), { type: 'verdict', ask, verdict: { kind: 'go', avoid: [] } });
    this.#reserve();
    this.#keepLooking();
  }

  take(event: FromDesk): void {
    this.#step(event);
  }

  /** To be called a few times a second. */
  tick(): void {
    if (this.#state.records.size > 0 || this.#state.asks.size > 0 || this.#state.errored.length > 0)
      this.#step({ type: 'ticked', atMs: this.#options.clock.wallMs() });
  }

  /** What the node process, or a file, knows. */
  hear(records: readonly SuspectRecord[]): void {
    this.#step({ type: 'heard', atMs: this.#options.clock.wallMs(), records });
  }

  /** A worker ended, and all that it had. */
  workerEnded(worker: number): void {
    for (const { id, fingerprint } of [...this.#state.asks.values()])
      if (workerOf(id) === worker)
        this.#step({
          type: 'ended',
          atMs: this.#options.clock.wallMs(),
          ask: id,
          fingerprint,
          completed: false,
        });
  }

  /** What a new worker has to know. */
  listed(): ToDesk {
    return { type: 'listed', added: [...this.#listed], removed: [] };
  }

  #step(event: SuspectEvent): void {
    if (this.#settings === undefined) return;
    const before = this.#state.records;
    const { state, answers } = stepSuspects(this.#state, event, {
      fleet: this.#fleet(),
      times: this.#settings,
    });
    this.#state = state;
    this.#reserve();
    const changed = [...state.records.values()].filter((record) => record !== before.get(record.fingerprint));
    const added = changed.filter(({ fingerprint }) => !before.has(fingerprint)).length;
    // Before the verdict: whoever is refused for it must not come again to a worker that has not heard.
    this.#tellListed(changed, before.size + added > state.records.size);
    for (const { ask, verdict } of answers)
      this.#options.tellWorker(workerOf(ask), { type: 'verdict', ask, verdict });
    this.#passOn(changed.filter((record) => !isAmong(event, record)));
    this.#keepLooking();
  }

  #tellListed(changed: readonly SuspectRecord[], lost: boolean): void {
    const { records } = this.#state;
    const added: string[] = [];
    const removed: string[] = [];
    for (const { fingerprint, status } of changed) {
      const was = this.#listed.has(fingerprint);
      if (was && status === 'released') removed.push(fingerprint);
      else if (!was && status !== 'released') added.push(fingerprint);
    }
    for (const fingerprint of added) this.#listed.add(fingerprint);
    // What is over leaves without a change.
    if (lost)
      for (const fingerprint of this.#listed) if (!records.has(fingerprint)) removed.push(fingerprint);
    for (const fingerprint of removed) this.#listed.delete(fingerprint);
    if (added.length + removed.length > 0) this.#options.tellAll({ type: 'listed', added, removed });
  }

  #fleet(): FleetNow {
    const pools = new Map<string, ReplicaNow[]>();
    for (const { pool, id, generation, state, late, slot } of this.#replicas) {
      const replica = {
        ...{ id, generation, ready: state === 'ready', planned: PLANNED.includes(state) },
        late: late === true,
        comesBack: state !== 'quarantined' && !PLANNED.includes(state),
        inFlight: this.#options.inFlight(slot),
      };
      const known = pools.get(pool);
      if (known === undefined) pools.set(pool, [replica]);
      else known.push(replica);
    }
    return { pools };
  }

  #passOn(news: readonly SuspectRecord[]): void {
    if (news.length === 0) return;
    if (this.#news.size === 0)
      setImmediate(() => {
        const records = [...this.#news.values()];
        this.#news.clear();
        this.#options.onChanged(records);
      });
    for (const record of news) this.#news.set(record.fingerprint, record);
  }

  #reserve(): void {
    const runs = new Set<string>();
    for (const { permit } of this.#state.asks.values()) if (permit?.alone === true) runs.add(runKey(permit));
    const slots = new Set<number>();
    if (runs.size > 0)
      for (const { id, generation, slot } of this.#replicas)
        if (runs.has(runKey({ replica: id, generation }))) slots.add(slot);
    for (const slot of slots) if (!this.#reserved.has(slot)) this.#options.gates.reserve(slot, true);
    for (const slot of this.#reserved) if (!slots.has(slot)) this.#options.gates.reserve(slot, false);
    this.#reserved = slots;
  }

  #keepLooking(): void {
    const isNeeded = this.#state.asks.size > 0;
    if (isNeeded === (this.#timer !== null)) return;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = isNeeded ? setInterval(() => this.tick(), WAITING_MS).unref() : null;
  }
}

function isAmong(event: SuspectEvent, record: SuspectRecord): boolean {
  return event.type === 'heard' && event.records.includes(record);
}
