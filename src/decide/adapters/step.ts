/**
 * The adapter machine: `step(state, event) -> { state, effects }`, pure. It keeps each replica's engine with the adapters that
 * its pool should have: looks what is there, takes away what nobody wants, loads what is missing, and begins anew with every
 * new process. Invariant: a replica counts as having an adapter only when its present process has said so.
 */
import type { LoraAdapter } from '../../contract/lora.ts';
import {
  type AdapterEffect,
  type AdapterEvent,
  type AdapterState,
  type FoundAdapter,
  isIt,
  type ObservedReplica,
  type ReplicaAdapters,
} from './adapter-state.ts';

type WithoutId<Effect> = Effect extends unknown ? Omit<Effect, 'id'> : never;

export function step(
  before: AdapterState,
  event: AdapterEvent,
): { state: AdapterState; effects: AdapterEffect[] } {
  const draft = new Draft(before);
  switch (event.type) {
    case 'ticked':
      draft.state.nowMs = Math.max(event.nowMs, before.nowMs);
      break;
    case 'observed':
      observe(draft, event.replicas);
      break;
    default:
      answered(draft, event);
  }
  for (const replica of Object.values(draft.state.replicas)) proceed(draft, replica);
  return { state: draft.state, effects: draft.effects };
}

/** When the machine wants to be woken; Infinity: not by time. */
export function nextDeadlineMs({ replicas, settings }: AdapterState): number {
  let dueMs = Number.POSITIVE_INFINITY;
  for (const replica of Object.values(replicas)) {
    if (replica.acting !== null) dueMs = Math.min(dueMs, replica.acting.deadlineMs);
    else if (replica.isReady)
      dueMs = Math.min(dueMs, replica.listAtMs, ...openWork(replica, settings).map((work) => work.dueMs));
  }
  return dueMs;
}

type Work = { dueMs: number } & ({ kind: 'unload'; name: string } | { kind: 'load'; adapter: LoraAdapter });

/** What separates the engine from what it should have, and when each part may be done: what stands in the way first. */
function openWork(replica: ReplicaAdapters, { settleMs }: AdapterState['settings']): Work[] {
  const { loaded, wanted, failures, unwantedSinceMs, isChangeable } = replica;
  if (loaded === null || !isChangeable) return [];
  const retryAtMs = (name: string) => failures[name]?.retryAtMs ?? 0;
  const unwanted = Object.entries(unwantedSinceMs).map(([name, sinceMs]): Work => {
    return { kind: 'unload', name, dueMs: Math.max(sinceMs + settleMs, retryAtMs(name)) };
  });
  const missing = wanted
    .filter(({ name }) => !loaded.some((found) => found.name === name))
    .map((adapter): Work => ({ kind: 'load', adapter, dueMs: retryAtMs(adapter.name) }));
  return [...unwanted, ...missing];
}

function observe(draft: Draft, observed: readonly ObservedReplica[]): void {
  const { replicas, nowMs } = draft.state;
  const next: Record<string, ReplicaAdapters> = {};
  for (const seen of observed) {
    const known = replicas[seen.replica];
    // An engine elsewhere may have been started anew while it was out of rotation: nobody counts its starts.
    const isBack = known?.isReady === false && seen.isReady && !seen.isManaged;
    const isSame = known?.generation === seen.generation && !isBack;
    next[seen.replica] = isSame ? changed(known, seen) : { ...seen, ...UNKNOWN, listAtMs: nowMs };
    if (isSame && known.loaded !== null && !sameWanted(known.wanted, seen.wanted)) draft.publish();
  }
  draft.state.replicas = next;
}

const UNKNOWN = { loaded: null, failures: {}, unwantedSinceMs: {}, acting: null };

/** What failed for another path is tried at once from the new one. */
function changed(known: ReplicaAdapters, seen: ObservedReplica): ReplicaAdapters {
  if (sameWanted(known.wanted, seen.wanted)) return { ...known, ...seen };
  const failures = Object.fromEntries(
    Object.entries(known.failures).filter(([name]) =>
      known.wanted.some(
        (wanted) =>
          wanted.name === name && seen.wanted.some((now) => now.name === name && now.path === wanted.path),
      ),
    ),
  );
  return { ...known, ...seen, failures };
}

function sameWanted(a: readonly LoraAdapter[], b: readonly LoraAdapter[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ name, path }, index) => b[index]?.name === name && b[index]?.path === path)
  );
}

function answered(draft: Draft, event: Exclude<AdapterEvent, { type: 'ticked' | 'observed' }>): void {
  const replica = draft.state.replicas[event.replica];
  // A late answer, or one about a process that is gone: the next look says how it is.
  if (replica?.acting?.id !== event.effect) return;
  const free = { ...replica, acting: null };
  switch (event.type) {
    case 'listed':
      return event.found === null ? failedToList(draft, free) : listed(draft, free, event.found);
    case 'loaded':
      return event.ok ? loaded(draft, free, event.adapter) : failed(draft, free, event.adapter, event.detail);
    case 'unloaded':
      return event.ok
        ? unloaded(draft, free, event.adapter)
        : failed(draft, free, event.adapter, event.detail);
  }
}

function failedToList(draft: Draft, replica: ReplicaAdapters): void {
  const { nowMs, settings } = draft.state;
  draft.put({ ...replica, listAtMs: nowMs + settings.retryInitialMs });
}

function listed(draft: Draft, replica: ReplicaAdapters, found: readonly FoundAdapter[]): void {
  const { nowMs, settings } = draft.state;
  if (JSON.stringify(found) !== JSON.stringify(replica.loaded)) draft.publish();
  // What came about all the same is no failure any more.
  const isOpen = (name: string) =>
    !replica.wanted.some((wanted) => wanted.name === name && found.some((one) => isIt(one, wanted)));
  const failures = Object.fromEntries(Object.entries(replica.failures).filter(([name]) => isOpen(name)));
  if (Object.keys(failures).length < Object.keys(replica.failures).length) draft.publish();
  draft.put({ ...replica, failures, loaded: found, listAtMs: nowMs + settings.listIntervalMs });
}

/** Only the engine knows by which name it is to be asked for: it is looked at again. */
function loaded(draft: Draft, replica: ReplicaAdapters, name: string): void {
  const { [name]: failure, ...failures } = replica.failures;
  if (failure !== undefined) draft.tell('info', replica.replica, `adapter "${name}" is loaded after all`);
  draft.put({ ...replica, failures, listAtMs: draft.state.nowMs });
}

function unloaded(draft: Draft, replica: ReplicaAdapters, name: string): void {
  const { [name]: _failure, ...failures } = replica.failures;
  const rest = (replica.loaded ?? []).filter((adapter) => adapter.name !== name);
  draft.put({ ...replica, failures, loaded: rest });
}

function failed(draft: Draft, replica: ReplicaAdapters, name: string, reason: string): void {
  const { nowMs, settings } = draft.state;
  const attempts = (replica.failures[name]?.attempts ?? 0) + 1;
  const waitMs = Math.min(settings.retryMaxMs, settings.retryInitialMs * 2 ** (attempts - 1));
  if (attempts === 1) draft.tell('page', replica.replica, `adapter "${name}": ${reason}`);
  const failure = { attempts, retryAtMs: nowMs + waitMs, reason };
  if (replica.failures[name]?.reason !== reason) draft.publish();
  // It may have been carried out all the same.
  draft.put({ ...replica, listAtMs: nowMs, failures: { ...replica.failures, [name]: failure } });
}

/** The one next call, when none is under way. */
function proceed(draft: Draft, replica: ReplicaAdapters): void {
  const { nowMs, settings } = draft.state;
  if (replica.acting !== null) {
    if (replica.acting.deadlineMs > nowMs) return;
    // Not answered in time: what became of it is looked up.
    replica = { ...replica, acting: null, listAtMs: nowMs };
    draft.put(replica);
  }
  if (!replica.isReady) return;
  replica = markUnwanted(replica, nowMs);
  draft.put(replica);
  const { replica: id, generation } = replica;
  if (replica.loaded === null || replica.listAtMs <= nowMs) {
    const timeoutMs = settings.listTimeoutMs;
    return draft.order(replica, { type: 'list', replica: id, generation, timeoutMs }, timeoutMs);
  }
  const work = openWork(replica, settings).find(({ dueMs }) => dueMs <= nowMs);
  if (work === undefined) return;
  const timeoutMs = settings.loadTimeoutMs;
  const order = { replica: id, generation, timeoutMs };
  if (work.kind === 'load')
    draft.order(replica, { type: 'load', ...order, adapter: work.adapter }, timeoutMs);
  else draft.order(replica, { type: 'unload', ...order, adapter: work.name }, timeoutMs);
}

/** Of an engine that is not ours only what stands in the way of a wanted one is taken. */
function markUnwanted(replica: ReplicaAdapters, nowMs: number): ReplicaAdapters {
  const unwantedSinceMs: Record<string, number> = {};
  for (const found of replica.loaded ?? []) {
    const wanted = replica.wanted.find(({ name }) => name === found.name);
    const isRight = wanted !== undefined && isIt(found, wanted);
    if (isRight || (wanted === undefined && !replica.isManaged)) continue;
    unwantedSinceMs[found.name] = replica.unwantedSinceMs[found.name] ?? nowMs;
  }
  return { ...replica, unwantedSinceMs };
}

class Draft {
  readonly state: AdapterState;
  readonly effects: AdapterEffect[] = [];

  constructor(before: AdapterState) {
    this.state = { ...before };
  }

  put(replica: ReplicaAdapters): void {
    this.state.replicas = { ...this.state.replicas, [replica.replica]: replica };
  }

  order(replica: ReplicaAdapters, effect: WithoutId<AdapterEffect>, timeoutMs: number): void {
    const id = this.#emit(effect);
    // An answer that comes with the limit is still an answer.
    this.put({ ...replica, acting: { id, deadlineMs: this.state.nowMs + 2 * timeoutMs } });
  }

  publish(): void {
    if (!this.effects.some(({ type }) => type === 'publish')) this.#emit({ type: 'publish' });
  }

  tell(level: 'info' | 'page', subject: string, text: string): void {
    this.#emit({ type: 'tell', level, subject, text });
  }

  #emit(effect: WithoutId<AdapterEffect>): number {
    const id = this.state.nextEffectId++;
    this.effects.push({ ...effect, id } as AdapterEffect);
    return id;
  }
}
