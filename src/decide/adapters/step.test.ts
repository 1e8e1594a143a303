import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LoraAdapter } from '../../contract/lora.ts';
import {
  type AdapterEffect,
  type AdapterEvent,
  type AdapterState,
  adapterProblems,
  createAdapterState,
  DEFAULT_ADAPTER_SETTINGS,
  type FoundAdapter,
  type ObservedReplica,
  servableAdapters,
} from './adapter-state.ts';
import { nextDeadlineMs, step } from './step.ts';

const sql: LoraAdapter = { name: 'sql', path: '/a/sql' };
const law: LoraAdapter = { name: 'law', path: '/a/law' };
const found = ({ name, path }: LoraAdapter): FoundAdapter => ({ name, path, servedModel: name });

function replica(more: Partial<ObservedReplica> = {}): ObservedReplica {
  return {
    replica: 'p/0',
    generation: 1,
    isReady: true,
    isManaged: true,
    isChangeable: true,
    wanted: [sql],
    ...more,
  };
}

/** A machine with what it asked for last. */
class Machine {
  state: AdapterState = createAdapterState(0);
  effects: AdapterEffect[] = [];
  /** All that it ever asked for, by id. */
  readonly asks = new Map<number, AdapterEffect>();

  tell(event: AdapterEvent): this {
    const { state, effects } = step(this.state, event);
    this.state = state;
    this.effects = effects;
    for (const effect of effects) this.asks.set(effect.id, effect);
    return this;
  }

  observe(...replicas: ObservedReplica[]): this {
    return this.tell({ type: 'observed', replicas });
  }

  after(ms: number): this {
    return this.tell({ type: 'ticked', nowMs: this.state.nowMs + ms });
  }

  get acting(): number {
    return this.state.replicas['p/0']?.acting?.id ?? -1;
  }

  listed(...adapters: LoraAdapter[]): this {
    return this.tell({
      type: 'listed',
      effect: this.acting,
      replica: 'p/0',
      found: adapters.map(found),
      detail: '',
    });
  }

  answer(type: 'loaded' | 'unloaded', adapter: string, ok = true, detail = ''): this {
    return this.tell({ type, effect: this.acting, replica: 'p/0', adapter, ok, detail });
  }

  get asked(): string[] {
    return this.effects.map((effect) =>
      effect.type === 'load'
        ? `load ${effect.adapter.name}`
        : effect.type === 'unload'
          ? `unload ${effect.adapter}`
          : effect.type,
    );
  }

  get servable(): string[] {
    const { generation = 0 } = this.state.replicas['p/0'] ?? {};
    return servableAdapters(this.state, 'p/0', generation).map(({ name }) => name);
  }
}

describe('the adapter machine', () => {
  it('looks what is there, loads what is missing, and counts it only when the engine says so', () => {
    const machine = new Machine().observe(replica());
    expect(machine.asked).toEqual(['list']);
    expect(machine.listed().asked).toEqual(['publish', 'load sql']);
    expect(machine.answer('loaded', 'sql').asked).toEqual(['list']);
    expect(machine.servable).toEqual([]);
    expect(machine.listed(sql).asked).toEqual(['publish']);
    expect(machine.servable).toEqual(['sql']);
  });

  it('begins anew with a new process, and with one elsewhere that comes back', () => {
    const machine = new Machine().observe(replica()).listed(sql);
    expect(machine.servable).toEqual(['sql']);
    expect(machine.observe(replica({ generation: 2, isReady: false })).servable).toEqual([]);
    expect(machine.observe(replica({ generation: 2 })).asked).toEqual(['list']);
    const elsewhere = replica({ isManaged: false });
    machine
      .observe(elsewhere)
      .listed(sql)
      .observe({ ...elsewhere, isReady: false });
    expect(machine.observe(elsewhere).servable).toEqual([]);
    expect(machine.asked).toEqual(['list']);
  });

  it('takes what nobody wants away once gateways have heard of it, but only from engines of ours', () => {
    const machine = new Machine().observe(replica()).listed(sql, law);
    expect(machine.asked).toEqual(['publish']);
    expect(machine.after(DEFAULT_ADAPTER_SETTINGS.settleMs).asked).toEqual(['unload law']);
    expect(machine.answer('unloaded', 'law').asked).toEqual([]);
    const elsewhere = new Machine().observe(replica({ isManaged: false })).listed(sql, law);
    expect(elsewhere.after(DEFAULT_ADAPTER_SETTINGS.settleMs).asked).toEqual([]);
  });

  it('replaces an adapter that was loaded from another path', () => {
    const machine = new Machine().observe(replica()).listed({ name: 'sql', path: '/old' });
    expect(machine.servable).toEqual([]);
    expect(machine.after(DEFAULT_ADAPTER_SETTINGS.settleMs).asked).toEqual(['unload sql']);
    expect(machine.answer('unloaded', 'sql').asked).toEqual(['load sql']);
  });

  it('tries again later and later what fails, says so once, and goes on with the others meanwhile', () => {
    const machine = new Machine().observe(replica({ wanted: [sql, law] })).listed();
    expect(machine.answer('loaded', 'sql', false, 'HTTP 404 no such path').asked).toEqual([
      'tell',
      'publish',
      'list',
    ]);
    expect(adapterProblems(machine.state, 'p/0')).toEqual({ sql: 'HTTP 404 no such path' });
    expect(machine.listed().asked).toEqual(['load law']);
    machine.answer('loaded', 'law').listed(law);
    expect(machine.after(1_000).asked).toEqual(['load sql']);
    expect(machine.answer('loaded', 'sql', false, 'again').asked).toEqual(['publish', 'list']);
    machine.listed(law);
    expect(machine.after(1_000).asked).toEqual([]);
    expect(machine.after(1_000).asked).toEqual(['load sql']);
    expect(
      machine.observe(replica({ wanted: [{ ...sql, path: '/b' }, law] })).state.replicas['p/0']?.failures,
    ).toEqual({});
  });

  it('gives up waiting for an answer, and looks', () => {
    const machine = new Machine().observe(replica()).listed();
    expect(machine.asked).toContain('load sql');
    const dueMs = nextDeadlineMs(machine.state);
    expect(machine.after(dueMs).asked).toEqual(['list']);
    expect(
      machine.tell({ type: 'loaded', effect: 2, replica: 'p/0', adapter: 'sql', ok: true, detail: '' }).asked,
    ).toEqual([]);
  });

  it('only looks at an engine that takes adapters at its start alone', () => {
    const machine = new Machine().observe(replica({ isChangeable: false, wanted: [sql, law] })).listed(sql);
    expect(machine.asked).toEqual(['publish']);
    expect(machine.servable).toEqual(['sql']);
  });

  it('reaches what is wanted in any world that calms down, and never names what an engine has not (1,000 worlds)', () => {
    fc.assert(fc.property(fc.infiniteStream(fc.nat(999)), fc.nat(60), live), { numRuns: 1_000 });
  });
});

/** An engine that restarts, loses calls and refuses some, and a pool whose adapters change; then all is well for a while. */
function live(chance: Iterator<number>, turns: number): void {
  const draw = (most: number) => (chance.next().value as number) % most;
  const machine = new Machine();
  const engine = new Set<string>();
  let seen = replica();
  for (let turn = 0; turn < turns + 40; turn++) {
    const isCalm = turn >= turns;
    if (!isCalm && draw(5) === 0)
      seen = { ...seen, wanted: [[sql], [law], [sql, law], []][draw(4)] as LoraAdapter[] };
    if (!isCalm && draw(8) === 0) {
      engine.clear();
      seen = { ...seen, generation: seen.generation + 1, isReady: draw(2) === 0 };
    }
    if (isCalm) seen = { ...seen, isReady: true };
    machine.observe(seen);
    for (let call = pendingCall(machine); call !== undefined; call = pendingCall(machine)) {
      if (!isCalm && draw(4) === 0) break;
      serve(machine, engine, call, !isCalm && draw(5) === 0);
    }
    for (const name of machine.servable)
      if (!engine.has(name)) throw new Error(`${name} is servable, but the engine has ${[...engine].join()}`);
    const dueMs = nextDeadlineMs(machine.state);
    machine.after(Math.min(isCalm ? 700_000 : 2_000, Math.max(1, dueMs - machine.state.nowMs)));
  }
  expect(machine.servable.toSorted()).toEqual(seen.wanted.map(({ name }) => name).toSorted());
  expect([...engine].toSorted()).toEqual(seen.wanted.map(({ name }) => name).toSorted());
}

type Call = Extract<AdapterEffect, { type: 'list' | 'load' | 'unload' }>;

function pendingCall({ asks, acting }: Machine): Call | undefined {
  return asks.get(acting) as Call | undefined;
}

function serve(machine: Machine, engine: Set<string>, call: Call, refuses: boolean): void {
  if (call.type === 'list') {
    const all = [sql, law].filter(({ name }) => engine.has(name));
    return void machine.listed(...all);
  }
  const name = call.type === 'load' ? call.adapter.name : call.adapter;
  if (!refuses && call.type === 'load') engine.add(name);
  if (!refuses && call.type === 'unload') engine.delete(name);
  machine.answer(call.type === 'load' ? 'loaded' : 'unloaded', name, !refuses, 'refused');
}
