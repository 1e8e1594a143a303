/**
 * A step in the making: the next state and the effects it asks for. Replicas are copied when they are first touched, so the
 * state that came in stays as it was. `enter` is the one place where a replica changes its phase and thereby its state.
 */
import { nextRandom } from '../../base/random.ts';
import type { FleetState, Rolling } from './fleet-state.ts';
import type { RecoveryEffect, RecoveryOrder } from './recovery-effect.ts';
import type { RecoverySettings } from './recovery-settings.ts';
import { createReplica, type Phase, type Replica, type ReplicaSpec, stateOf } from './replica.ts';
import { memoryOf } from './replica-memory.ts';

type WithoutId<Effect> = Effect extends unknown ? Omit<Effect, 'id'> : never;

export class Draft {
  readonly state: FleetState;
  readonly effects: RecoveryEffect[] = [];
  readonly #touched = new Set<string>();
  #fleetCopied = false;
  #changed = false;

  constructor(state: FleetState) {
    this.state = { ...state };
  }

  get settings(): RecoverySettings {
    return this.state.settings;
  }

  get nowMs(): number {
    return this.state.nowMs;
  }

  /** A replica that may be changed; undefined when there is none of that id. */
  replica(id: string): Replica | undefined {
    const known = this.state.replicas[id];
    if (known === undefined || this.#touched.has(id)) return known;
    const copy = { ...known };
    this.#put(id, copy);
    return copy;
  }

  add(spec: ReplicaSpec): Replica {
    const replica = createReplica(spec, this.state.lastGeneration, this.nowMs);
    this.#put(spec.id, replica);
    this.#changed = true;
    return replica;
  }

  /** The replica is no more, and its record neither. */
  remove(id: string): void {
    const replica = this.state.replicas[id];
    if (replica === undefined) return;
    this.#ownFleet();
    delete (this.state.replicas as Record<string, Replica>)[id];
    this.#touched.delete(id);
    this.#changed = true;
    this.state.lastGeneration = Math.max(this.state.lastGeneration, replica.generation);
    if (isRecorded(replica)) this.emit({ type: 'forget', replica: id });
  }

  setRolling(pool: string, rolling: Rolling | null): void {
    const all = { ...this.state.rolling };
    if (rolling === null) delete all[pool];
    else all[pool] = rolling;
    this.state.rolling = all;
  }

  enter(replica: Replica, phase: Phase, reason: string): void {
    const from = stateOf(replica);
    if (this.stayedReady(replica)) replica.attempt = 0;
    replica.phase = phase;
    replica.reason = reason;
    replica.unwritten = isRecorded(replica);
    const to = stateOf(replica);
    if (from === to) return;
    replica.sinceMs = this.nowMs;
    this.#changed = true;
    const { generation } = replica;
    this.emit({ type: 'announce', replica: replica.spec.id, generation, from, to, reason });
  }

  /** A standby goes into rotation. */
  promote(replica: Replica, reason: string): void {
    const from = stateOf(replica);
    replica.standby = false;
    replica.reason = reason;
    replica.unwritten = isRecorded(replica);
    replica.sinceMs = this.nowMs;
    this.#changed = true;
    const { generation } = replica;
    this.emit({ type: 'announce', replica: replica.spec.id, generation, from, to: stateOf(replica), reason });
  }

  /** What gateways see of the fleet has changed without a change of state. */
  fleetChanged(): void {
    this.#changed = true;
  }

  /** Whether it has been ready for so long that earlier failures say nothing about the next one. */
  stayedReady({ phase }: Replica): boolean {
    return phase.name === 'serving' && this.isStableSince(phase.readySinceMs);
  }

  isStableSince(readySinceMs: number): boolean {
    return this.nowMs - readySinceMs >= this.settings.stableAfterMs;
  }

  /** Replicas that this step may have changed. */
  get touched(): Replica[] {
    return [...this.#touched].map((id) => this.state.replicas[id] as Replica);
  }

  draw(): number {
    const [value, next] = nextRandom(this.state.random);
    this.state.random = next;
    return value;
  }

  emit(effect: WithoutId<RecoveryEffect>): number {
    const id = this.state.nextEffectId++;
    this.effects.push({ ...effect, id } as RecoveryEffect);
    return id;
  }

  /** Asks for an order that must be answered by `deadlineMs`. */
  order(order: WithoutId<RecoveryOrder>, deadlineMs: number): { id: number; deadlineMs: number } {
    return { id: this.emit(order), deadlineMs };
  }

  tell(level: 'info' | 'page', subject: string, text: string): void {
    this.emit({ type: 'tell', level, subject, text });
  }

  /** Asks for what the step as a whole left to do: records to write, and a new view of the fleet. */
  finish(): { state: FleetState; effects: RecoveryEffect[] } {
    for (const id of this.#touched) {
      const replica = this.state.replicas[id];
      if (!replica?.unwritten || replica.writing !== null) continue;
      replica.unwritten = false;
      replica.writing = this.order(
        { type: 'persist', replica: id, memory: memoryOf(replica) },
        this.nowMs + this.settings.localTimeoutMs,
      );
    }
    if (this.#changed) this.effects.unshift({ type: 'publish', id: this.state.nextEffectId++ });
    return { state: this.state, effects: this.effects };
  }

  #ownFleet(): void {
    if (this.#fleetCopied) return;
    this.state.replicas = { ...this.state.replicas };
    this.#fleetCopied = true;
  }

  #put(id: string, replica: Replica): void {
    this.#ownFleet();
    (this.state.replicas as Record<string, Replica>)[id] = replica;
    this.#touched.add(id);
  }
}

function isRecorded({ spec, stray }: Replica): boolean {
  return spec.managed && !stray;
}
