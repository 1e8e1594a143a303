/**
 * Keeps the engines with the LoRA adapters that their pools should have: the adapter machine, driven. It tells the machine which
 * replicas take traffic, makes the calls that it asks for, and has gateways told when what a replica can be asked for changes.
 */
import type { AdapterView } from '../../contract/fleet.ts';
import type { AdapterCalls, EngineTarget } from '../../contract/ports/engine-driver.ts';
import {
  type AdapterEffect,
  type AdapterEvent,
  adapterProblems,
  createAdapterState,
  type ObservedReplica,
  servableAdapters,
} from '../../decide/adapters/adapter-state.ts';
import { nextDeadlineMs, step } from '../../decide/adapters/step.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import { type Replica, stateOf } from '../../decide/recovery/replica.ts';
import type { SupervisedReplica } from './supervised-replica.ts';
import type { SupervisorOptions } from './supervisor-options.ts';

export interface AdapterKeeperParts {
  options: Pick<SupervisorOptions, 'clock' | 'drivers' | 'log'>;
  supervised(id: string): SupervisedReplica | undefined;
  /** What some replica can be asked for has changed. */
  onChange(): void;
}

type Call = Extract<AdapterEffect, { type: 'list' | 'load' | 'unload' }>;

/** setTimeout takes no more. */
const TIMER_MS_MAX = 2_000_000_000;

export class AdapterKeeper {
  readonly #parts: AdapterKeeperParts;
  readonly #closing = new AbortController();
  readonly #queue: AdapterEvent[] = [];
  #state: ReturnType<typeof createAdapterState>;
  #urls = new Map<string, string>();
  #running = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: AdapterKeeperParts) {
    this.#parts = parts;
    this.#state = createAdapterState(parts.options.clock.monotonicMs());
  }

  /** Called after each step of the recovery machine. */
  review({ replicas }: FleetState): void {
    const observed = Object.values(replicas).flatMap((replica) => this.#observe(replica));
    if (observed.length === 0 && Object.keys(this.#state.replicas).length === 0) return;
    this.#deliver({ type: 'observed', replicas: observed });
  }

  /** Adapters that requests may name at this replica. */
  servable(replica: string, generation: number): AdapterView[] {
    return servableAdapters(this.#state, replica, generation);
  }

  /** Why adapters are not there, by name. */
  problems(replica: string): Record<string, string> {
    return adapterProblems(this.#state, replica);
  }

  close(): void {
    this.#closing.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Replicas of pools without adapters are looked at only as long as they have some to get rid of. */
  #observe(replica: Replica): ObservedReplica[] {
    const { id } = replica.spec;
    const supervised = this.#parts.supervised(id);
    const calls = supervised && this.#parts.options.drivers.get(supervised.model.engine)?.adapters;
    if (supervised === undefined || calls === undefined || replica.goal.kind === 'remove') return [];
    const wanted = supervised.model.loraAdapters ?? [];
    const known = this.#state.replicas[id];
    const hasSome = known?.generation === replica.generation && (known.loaded?.length ?? 0) > 0;
    if (wanted.length === 0 && !hasSome) return [];
    if (replica.url !== null) this.#urls.set(id, replica.url);
    return [
      {
        replica: id,
        generation: replica.generation,
        isReady: stateOf(replica) === 'ready',
        isManaged: replica.spec.managed,
        // One that was started otherwise than its pool says now is started anew before long.
        isChangeable: calls.load !== undefined && replica.startedHash === replica.spec.launchHash,
        wanted,
      },
    ];
  }

  #deliver(event: AdapterEvent): void {
    if (this.#closing.signal.aborted) return;
    this.#queue.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      this.#step({ type: 'ticked', nowMs: this.#parts.options.clock.monotonicMs() });
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#step(next);
    } finally {
      this.#running = false;
    }
    this.#arm();
  }

  #step(event: AdapterEvent): void {
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#onEffect(effect);
  }

  #onEffect(effect: AdapterEffect): void {
    const { log } = this.#parts.options;
    switch (effect.type) {
      case 'publish':
        return this.#parts.onChange();
      case 'tell':
        return log(effect.level === 'page' ? 'error' : 'info', effect.text, { subject: effect.subject });
      default:
        return void this.#call(effect);
    }
  }

  async #call(call: Call): Promise<void> {
    const supervised = this.#parts.supervised(call.replica);
    const calls = supervised && this.#parts.options.drivers.get(supervised.model.engine)?.adapters;
    const url = this.#urls.get(call.replica);
    // Without an answer the machine looks again when its own time is over.
    if (supervised === undefined || calls === undefined || url === undefined) return;
    const { servedModel, engineKey } = supervised.model;
    const target = { url, servedModel, ...(engineKey !== undefined && { engineKey: engineKey.reveal() }) };
    const limit = AbortSignal.timeout(call.timeoutMs);
    const signal = AbortSignal.any([limit, this.#closing.signal]);
    const wanted = supervised.model.loraAdapters ?? [];
    try {
      this.#deliver(await carryOut(call, { calls, target, wanted, signal }));
    } catch (error) {
      const { replica, type } = call;
      this.#parts.options.log('error', 'a call for an adapter failed by a bug', {
        replica,
        type,
        error: String(error),
      });
    }
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const dueMs = nextDeadlineMs(this.#state);
    if (this.#closing.signal.aborted || dueMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#parts.options;
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(1, Math.ceil(dueMs - clock.monotonicMs())));
    this.#timer = setTimeout(() => this.#deliver({ type: 'ticked', nowMs: clock.monotonicMs() }), waitMs);
  }
}

interface CallParts {
  calls: AdapterCalls;
  target: EngineTarget;
  wanted: ObservedReplica['wanted'];
  signal: AbortSignal;
}

async function carryOut(call: Call, { calls, target, wanted, signal }: CallParts): Promise<AdapterEvent> {
  const { id: effect, replica } = call;
  if (call.type === 'list') {
    const found = await calls.list(target, wanted, signal);
    return found.ok
      ? { type: 'listed', effect, replica, found: found.adapters, detail: '' }
      : { type: 'listed', effect, replica, found: null, detail: found.detail };
  }
  const none = { ok: false, detail: 'the engine has no call for it' };
  if (call.type === 'load') {
    const { ok, detail } = (await calls.load?.(target, call.adapter, signal)) ?? none;
    return { type: 'loaded', effect, replica, adapter: call.adapter.name, ok, detail };
  }
  const { ok, detail } = (await calls.unload?.(target, call.adapter, signal)) ?? none;
  return { type: 'unloaded', effect, replica, adapter: call.adapter, ok, detail };
}
