/**
 * The breaker of a gateway, in its main thread: keeps the state machine of each replica (`decide/scheduling/health`), feeds it
 * what workers report and what snapshots say, and writes what follows into the gates that workers read.
 */
import type { Clock } from '../../../base/clock.ts';
import type { Random } from '../../../base/random.ts';
import type { GatewaySettings } from '../../../contract/gateway-snapshot.ts';
import { mayEject } from '../../../decide/scheduling/health/ejection-floor.ts';
import {
  DEFAULT_HEALTH,
  type HealthEvent,
  type HealthSettings,
  type HealthState,
  healthShare,
  startHealth,
  stepHealth,
  takes,
} from '../../../decide/scheduling/health/replica-health.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import type { HealthReport } from './attempt-health.ts';
import type { Gate, ReplicaGates } from './replica-gates.ts';

interface Kept {
  id: string;
  pool: string;
  slot: number;
  generation: number;
  /** By the supervisor; what the breaker says comes on top. */
  ready: boolean;
  /** It was ready before: when it becomes so again, it comes back. */
  served: boolean;
  state: HealthState;
}

/** Who gave a token within that time, and takes no connection, has too much to do. */
const AT_WORK_MS = 2_000;

export interface HealthKeeperOptions {
  gates: ReplicaGates;
  clock: Clock;
  /** Since anything of an answer came from the replica in this slot, ms; Infinity: nothing is known. */
  sinceProgressMs(slot: number): number;
  chance: Random;
  /** A replica was ejected, or serves again. */
  onChange(replica: string, name: HealthState['name']): void;
}

export class HealthKeeper {
  readonly #options: HealthKeeperOptions;
  readonly #kept = new Map<number, Kept>();
  #settings: HealthSettings = DEFAULT_HEALTH;
  #isOn = true;

  constructor(options: HealthKeeperOptions) {
    this.#options = options;
  }

  update({ snapshot, replicaSlots }: SlottedSnapshot): void {
    this.#settings = healthSettings(snapshot.settings);
    this.#isOn = snapshot.settings.breakerFailures > 0;
    const gone = new Set(this.#kept.keys());
    for (const { model, replicas } of snapshot.fleet.pools) {
      for (const { id, generation, state } of replicas) {
        const slot = replicaSlots[id];
        if (slot === undefined) continue;
        gone.delete(slot);
        this.#see({ id, pool: model, slot, generation, ready: state === 'ready' });
      }
    }
    for (const slot of gone) {
      this.#kept.delete(slot);
      this.#options.gates.set(slot, { gate: 'open', share: 1, reportsSuccess: false });
    }
  }

  /** What a worker saw. Reports of an earlier life, or of another replica in the slot, count for nothing. */
  report(report: HealthReport): void {
    const kept = this.#kept.get(report.slot);
    if (kept === undefined || kept.generation !== report.generation) return;
    if (!this.#isOn && report.probe === null) return;
    this.#step(kept, this.#eventOf(kept, report));
  }

  /** To be called a few times a second: ejections, leases and slow starts end by time alone. */
  tick(): void {
    for (const kept of this.#kept.values()) {
      if (isPlain(kept.state)) continue;
      this.#step(kept, { type: 'ticked', atMs: this.#now(), draw: this.#options.chance.next() });
    }
  }

  #see(seen: Omit<Kept, 'state' | 'served'>): void {
    const known = this.#kept.get(seen.slot);
    const atMs = this.#now();
    if (known === undefined || known.id !== seen.id) {
      const kept: Kept = { ...seen, served: seen.ready, state: startHealth(atMs) };
      this.#kept.set(seen.slot, kept);
      return this.#write(kept);
    }
    const restarted = known.generation !== seen.generation;
    // Slow start begins when it is ready, which may be minutes after it was started.
    const comesBack = seen.ready && known.served && (restarted || !known.ready);
    Object.assign(known, seen);
    known.served ||= seen.ready;
    // Slow start spares a replica while its peers carry the rest; alone, it must take what there is.
    if (comesBack && this.#settings.rampMs > 0 && this.#hasServingPeer(known)) {
      this.#step(known, { type: 'generationStarted', atMs });
    } else if (restarted) {
      known.state = startHealth(atMs);
      this.#write(known);
    }
  }

  #eventOf(kept: Kept, report: HealthReport): HealthEvent {
    const atMs = this.#now();
    const lease = report.probe;
    switch (report.type) {
      case 'probeTaken':
        return { type: 'probeTaken', atMs, lease: lease ?? 0 };
      case 'attemptFailed': {
        const isAtWork = this.#options.sinceProgressMs(kept.slot) <= AT_WORK_MS;
        if (report.failure === 'connect-timeout' && isAtWork) return { type: 'engineBusy', atMs, lease };
        const draw = this.#options.chance.next();
        const { failure } = report;
        return { type: 'attemptFailed', atMs, lease, failure, mayEject: this.#mayEject(kept), draw };
      }
      default:
        return { type: report.type, atMs, lease };
    }
  }

  #step(kept: Kept, event: HealthEvent): void {
    const before = kept.state.name;
    kept.state = stepHealth(kept.state, event, this.#settings);
    this.#write(kept);
    if (kept.state.name !== before) this.#options.onChange(kept.id, kept.state.name);
  }

  #write({ slot, state }: Kept): void {
    const nowMs = this.#now();
    const share = state.name === 'serving' ? healthShare(state, nowMs, this.#settings) : 0;
    const reportsSuccess = state.name !== 'serving' || state.failures > 0;
    this.#options.gates.set(slot, { gate: gateOf(state, nowMs), share, reportsSuccess });
  }

  #mayEject(kept: Kept): boolean {
    const peers = [...this.#kept.values()].filter(({ pool, ready }) => pool === kept.pool && ready);
    return mayEject(peers.length, peers.filter(({ state }) => state.name === 'serving').length);
  }

  #hasServingPeer(kept: Kept): boolean {
    return [...this.#kept.values()].some(
      ({ id, pool, ready, state }) =>
        pool === kept.pool && id !== kept.id && ready && state.name === 'serving' && !state.ramping,
    );
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}

function healthSettings({ slowStartMs, breakerFailures }: GatewaySettings): HealthSettings {
  return { ...DEFAULT_HEALTH, failuresMax: Math.max(1, breakerFailures), rampMs: slowStartMs };
}

function gateOf(state: HealthState, nowMs: number): Gate {
  const taking = takes(state, nowMs);
  if (taking === 'freely') return 'open';
  if (taking === 'probe') return 'probe';
  return state.name === 'half-open' ? 'probing' : 'closed';
}

/** Nothing changes by time. */
function isPlain(state: HealthState): boolean {
  return (
    state.name === 'serving' &&
    !state.ramping &&
    state.ejections === 0 &&
    state.failures === 0 &&
    state.busyUntilMs <= state.sinceMs
  );
}
