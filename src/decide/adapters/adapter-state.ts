/**
 * What the adapter machine knows and says: plain data. It is told which replicas take traffic and what they should have loaded,
 * and asks for one call at a time per replica until that is so. Time is an event, as in the recovery machine.
 */
import type { AdapterView } from '../../contract/fleet.ts';
import type { LoraAdapter } from '../../contract/lora.ts';

/** An adapter that an engine has, as it was found. */
export interface FoundAdapter extends AdapterView {
  /** Where the engine has it from; undefined where it does not say. */
  path?: string;
}

/** A replica of a pool with adapters, as the recovery machine has it. */
export interface ObservedReplica {
  replica: string;
  generation: number;
  /** It takes traffic, so its engine can be asked. */
  isReady: boolean;
  /** Ours: what it has and should not have may be taken from it. */
  isManaged: boolean;
  /** Takes adapters while it runs, and is to go on running. */
  isChangeable: boolean;
  wanted: readonly LoraAdapter[];
}

export interface AdapterFailure {
  attempts: number;
  retryAtMs: number;
  reason: string;
}

export interface ReplicaAdapters extends ObservedReplica {
  /** Null: not known in this generation yet. */
  loaded: readonly FoundAdapter[] | null;
  /** When to look again. */
  listAtMs: number;
  /** By name. */
  failures: Readonly<Record<string, AdapterFailure>>;
  /** Since when an adapter is there that nobody wants; gateways must hear of it before it goes. By name. */
  unwantedSinceMs: Readonly<Record<string, number>>;
  acting: { id: number; deadlineMs: number } | null;
}

export interface AdapterState {
  settings: AdapterSettings;
  nowMs: number;
  nextEffectId: number;
  /** By replica id. */
  replicas: Readonly<Record<string, ReplicaAdapters>>;
}

/** Spans in milliseconds. */
export interface AdapterSettings {
  /** Between two looks at what an engine has. */
  listIntervalMs: number;
  listTimeoutMs: number;
  /** Loading reads weights from disk, and may download them. */
  loadTimeoutMs: number;
  retryInitialMs: number;
  retryMaxMs: number;
  /** From the moment that gateways are told until an adapter is taken from an engine. */
  settleMs: number;
}

export const DEFAULT_ADAPTER_SETTINGS: AdapterSettings = {
  listIntervalMs: 30_000,
  listTimeoutMs: 5_000,
  loadTimeoutMs: 300_000,
  retryInitialMs: 1_000,
  retryMaxMs: 60_000,
  settleMs: 500,
};

export type AdapterEvent =
  | { type: 'ticked'; nowMs: number }
  /** All replicas of pools with adapters, and those that still have some. */
  | { type: 'observed'; replicas: readonly ObservedReplica[] }
  | {
      type: 'listed';
      effect: number;
      replica: string;
      found: readonly FoundAdapter[] | null;
      detail: string;
    }
  | { type: 'loaded'; effect: number; replica: string; adapter: string; ok: boolean; detail: string }
  | { type: 'unloaded'; effect: number; replica: string; adapter: string; ok: boolean; detail: string };

export type AdapterEffect =
  | { type: 'list'; id: number; replica: string; generation: number; timeoutMs: number }
  | {
      type: 'load';
      id: number;
      replica: string;
      generation: number;
      adapter: LoraAdapter;
      timeoutMs: number;
    }
  | { type: 'unload'; id: number; replica: string; generation: number; adapter: string; timeoutMs: number }
  /** What gateways may ask of a replica has changed. */
  | { type: 'publish'; id: number }
  | { type: 'tell'; id: number; level: 'info' | 'page'; subject: string; text: string };

export function createAdapterState(nowMs: number, settings = DEFAULT_ADAPTER_SETTINGS): AdapterState {
  return { settings, nowMs, nextEffectId: 1, replicas: {} };
}

/** What the replica may be asked for: loaded in its present generation, from the right place, and wanted. */
export function servableAdapters(state: AdapterState, replica: string, generation: number): AdapterView[] {
  const known = state.replicas[replica];
  if (known?.loaded == null || known.generation !== generation) return [];
  return known.wanted.flatMap((wanted) => {
    const found = known.loaded?.find((candidate) => isIt(candidate, wanted));
    if (found === undefined) return [];
    const { name, servedModel, fields } = found;
    return [{ name, servedModel, ...(fields !== undefined && { fields }) }];
  });
}

export function isIt(found: FoundAdapter, wanted: LoraAdapter): boolean {
  return found.name === wanted.name && (found.path === undefined || found.path === wanted.path);
}

/** Why adapters are not there, by name; of the present generation. */
export function adapterProblems(state: AdapterState, replica: string): Record<string, string> {
  const { failures = {} } = state.replicas[replica] ?? {};
  return Object.fromEntries(Object.entries(failures).map(([name, { reason }]) => [name, reason]));
}
