import { describe, expect, it } from 'vitest';
import { SUSPECTS_MAX, type SuspectRecord } from '../../contract/suspects.ts';
import { canSpareOne, TRIAL_MS } from './settle.ts';
import { stepSuspects } from './step.ts';
import {
  type ReplicaNow,
  type SuspectEvent,
  type SuspectState,
  startSuspects,
  type Verdict,
} from './suspect-state.ts';

const TIMES = { suspectTtlMs: 60_000, holdTtlMs: 30_000, convictTtlMs: 120_000 };

/** A pool `m`, the requests on it, and the verdicts that came. */
class Pool {
  state: SuspectState;
  nowMs = 1_000;
  readonly replicas: ReplicaNow[];
  readonly verdicts = new Map<number, Verdict>();
  #asks = 0;

  constructor(replicas: number, records: SuspectRecord[] = []) {
    this.state = startSuspects(records);
    this.replicas = Array.from({ length: replicas }, (_, index) => ({
      ...{ id: `m/${index}`, generation: 1, ready: true, planned: false, late: false, comesBack: true },
      inFlight: 0,
    }));
  }

  tell(event: SuspectEvent): void {
    const fleet = { pools: new Map([['m', this.replicas]]) };
    const { state, answers } = stepSuspects(this.state, event, { fleet, times: TIMES });
    this.state = state;
    for (const { ask, verdict } of answers) this.verdicts.set(ask, verdict);
  }

  /** What was lost tells of it, all at once unless the replica is said to live on. */
  crash(index: number, lost: Lost[], { dies = true }: { dies?: boolean } = {}): number[] {
    const replica = this.replicas[index]!;
    const { id, generation } = replica;
    const asks = lost.map(({ name, committed = false, runningMs = 100, former = null }) => {
      const ask = this.#asks++;
      const what = { fingerprint: name, model: 'm', endpoint: 'chat', requestId: `req-${name}`, pool: 'm' };
      const where = { replica: id, generation, runningMs, committed };
      this.tell({ type: 'crashed', atMs: this.nowMs, ...what, ...where, ask, former, surely: false });
      return ask;
    });
    if (dies) Object.assign(replica, { ready: false, generation: generation + 1 });
    return asks;
  }

  arrive(name: string): number {
    const ask = this.#asks++;
    this.tell({ type: 'arrived', atMs: this.nowMs, ask, fingerprint: name, pool: 'm' });
    return ask;
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 20) {
      this.nowMs += Math.min(20, left);
      this.tell({ type: 'ticked', atMs: this.nowMs });
    }
  }

  comesBack(index: number): void {
    this.replicas[index]!.ready = true;
  }

  status(name: string): string | undefined {
    return this.state.records.get(name)?.status;
  }
}

interface Lost {
  name: string;
  committed?: boolean;
  runningMs?: number;
  former?: number | null;
}

describe('after one crash', () => {
  it('streams that had begun go on at once, away from where the others are sent one after the other', () => {
    const pool = new Pool(4);
    const [stream, young, old] = pool.crash(0, [
      { name: 'stream', committed: true },
      { name: 'young', runningMs: 50 },
      { name: 'old', runningMs: 900 },
    ]);
    expect(pool.verdicts.get(stream!)).toEqual({ kind: 'go', avoid: ['m/1@1'] });
    expect(pool.verdicts.size).toBe(1);
    pool.pass(60);
    expect(pool.verdicts.get(young!)).toEqual({ kind: 'place', replica: 'm/1', generation: 1, alone: false });
    expect(pool.verdicts.has(old!)).toBe(false);
    pool.tell({ type: 'placed', atMs: pool.nowMs, ask: young! });
    pool.tell({ type: 'answering', atMs: pool.nowMs, ask: young! });
    expect(pool.verdicts.get(old!)).toMatchObject({ kind: 'place', replica: 'm/1' });
  });

  it('who gives no sign of life makes room for the next after a while', () => {
    const pool = new Pool(3);
    const [first, second] = pool.crash(0, [{ name: 'a' }, { name: 'b', runningMs: 200 }]);
    pool.pass(60);
    pool.tell({ type: 'placed', atMs: pool.nowMs, ask: first! });
    pool.pass(900);
    expect(pool.verdicts.has(second!)).toBe(false);
    pool.pass(300);
    expect(pool.verdicts.get(second!)?.kind).toBe('place');
  });

  it('who finds the isolated place full lets the next one try, and goes elsewhere before long', () => {
    const pool = new Pool(3);
    const [first, second] = pool.crash(0, [{ name: 'a' }, { name: 'b', runningMs: 200 }]);
    pool.pass(5_000);
    expect(pool.verdicts.get(first!)).toMatchObject({ kind: 'place', replica: 'm/1' });
    expect(pool.verdicts.has(second!)).toBe(false);
    pool.pass(100);
    expect(pool.verdicts.get(second!)).toMatchObject({ kind: 'place', replica: 'm/1' });
    pool.tell({ type: 'placed', atMs: pool.nowMs, ask: second! });
    pool.pass(2_800);
    expect(pool.verdicts.get(first!)?.kind).toBe('place');
    pool.pass(200);
    expect(pool.verdicts.get(first!)).toEqual({ kind: 'go', avoid: ['m/1@1', 'm/0@2'] });
  });

  it('who still waits for the isolated place is sent to the next replica when that one dies', () => {
    const pool = new Pool(3);
    const [ask] = pool.crash(0, [{ name: 'a' }]);
    pool.pass(5_500);
    Object.assign(pool.replicas[1]!, { ready: false, generation: 2 });
    pool.pass(20);
    expect(pool.verdicts.get(ask!)).toMatchObject({ kind: 'place', replica: 'm/2' });
  });

  it('whoever ends well is suspected no more, and anybody with the same content waits for one of them only', () => {
    const pool = new Pool(3);
    const [first] = pool.crash(0, [{ name: 'same' }, { name: 'other' }]);
    pool.pass(60);
    const later = pool.arrive('same');
    expect(pool.verdicts.has(later)).toBe(false);
    pool.tell({ type: 'answering', atMs: pool.nowMs, ask: first! });
    expect(pool.verdicts.get(later)?.kind).toBe('go');
    pool.tell({ type: 'ended', atMs: pool.nowMs, ask: null, fingerprint: 'same', completed: true });
    expect(pool.status('same')).toBe('released');
  });

  it('nobody waits longer than eight seconds while a replica is ready', () => {
    const pool = new Pool(3);
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const asks = pool.crash(
      0,
      names.map((name, index) => ({ name, runningMs: 5_000 + index })),
    );
    const waiting = () => asks.filter((ask) => !pool.verdicts.has(ask));
    for (let passedMs = 0; passedMs < 8_000; passedMs += 200) {
      pool.pass(200);
      for (const ask of asks)
        if (pool.verdicts.has(ask)) pool.tell({ type: 'placed', atMs: pool.nowMs, ask });
    }
    expect(waiting().length).toBeGreaterThan(0);
    pool.pass(200);
    expect(waiting()).toEqual([]);
  });

  it('nobody waits for a pool that is down for good', () => {
    const pool = new Pool(1);
    Object.assign(pool.replicas[0]!, { comesBack: false });
    const [ask] = pool.crash(0, [{ name: 'a' }]);
    expect(pool.verdicts.get(ask!)?.kind).toBe('go');
  });

  it('all wait while no replica is ready', () => {
    const pool = new Pool(1);
    const [ask] = pool.crash(0, [{ name: 'a' }]);
    pool.pass(2_000);
    expect(pool.verdicts.has(ask!)).toBe(false);
    pool.comesBack(0);
    pool.pass(20);
    expect(pool.verdicts.get(ask!)).toMatchObject({ kind: 'place', generation: 2 });
  });
});

describe('a lost connection of an engine that lives on', () => {
  it('delays nobody for long, and is forgotten', () => {
    const pool = new Pool(2);
    pool.replicas[0]!.inFlight = 3;
    const [ask] = pool.crash(0, [{ name: 'a' }], { dies: false });
    pool.pass(300);
    expect(pool.verdicts.get(ask!)?.kind).toBe('go');
    pool.pass(5_000);
    expect(pool.status('a')).toBe('released');
  });

  it('is forgotten too when the engine is only late with its probes', () => {
    const pool = new Pool(2);
    const [ask] = pool.crash(0, [{ name: 'a' }], { dies: false });
    Object.assign(pool.replicas[0]!, { ready: false, late: true });
    pool.pass(300);
    expect(pool.verdicts.get(ask!)?.kind).toBe('place');
    pool.pass(5_000);
    expect(pool.status('a')).toBe('released');
  });

  it('twice, it is no reason to refuse', () => {
    const pool = new Pool(3);
    pool.crash(0, [{ name: 'a' }], { dies: false });
    pool.pass(200);
    const [ask] = pool.crash(1, [{ name: 'a' }], { dies: false });
    expect(pool.status('a')).toBe('accused');
    pool.pass(1_000);
    expect(pool.verdicts.has(ask!)).toBe(false);
    pool.pass(5_000);
    expect(pool.verdicts.get(ask!)?.kind).not.toBe('refuse');
  });
});

describe('after two crashes', () => {
  it('the only one that was at both is refused, where the pool is not whole', () => {
    const pool = new Pool(4);
    pool.crash(0, [{ name: 'poison' }, { name: 'a', committed: true }]);
    pool.pass(60);
    const [ask] = pool.crash(1, [
      { name: 'poison', runningMs: 40 },
      { name: 'b', committed: true },
    ]);
    pool.pass(60);
    expect(pool.verdicts.get(ask!)).toMatchObject({ kind: 'refuse', record: { status: 'held' } });
    expect(pool.verdicts.get(pool.arrive('poison'))?.kind).toBe('refuse');
    expect([pool.status('a'), pool.status('b')]).toEqual(['suspected', 'suspected']);
  });

  it('is refused too while the snapshot does not show yet that its replicas died', () => {
    const pool = new Pool(4);
    pool.crash(0, [{ name: 'poison' }, { name: 'a', committed: true }], { dies: false });
    pool.pass(60);
    const lost = [
      { name: 'poison', runningMs: 40 },
      { name: 'b', committed: true },
    ];
    const [ask] = pool.crash(1, lost, { dies: false });
    pool.pass(60);
    expect(pool.verdicts.get(ask!)?.kind).toBe('refuse');
  });

  it('a stream in the middle of its answer waits for a trial instead', () => {
    const pool = new Pool(2);
    pool.crash(0, [
      { name: 'stream', committed: true },
      { name: 'a', committed: true },
    ]);
    pool.pass(200);
    const [ask] = pool.crash(1, [
      { name: 'stream', committed: true, runningMs: 100 },
      { name: 'b', committed: true },
    ]);
    pool.pass(500);
    expect(pool.verdicts.has(ask!)).toBe(false);
    pool.comesBack(0);
    pool.comesBack(1);
    pool.pass(20);
    expect(pool.verdicts.get(ask!)).toMatchObject({ kind: 'place', alone: true });
  });

  it('two that were at both are tried alone, one after the other; the culprit clears the other', () => {
    const pool = new Pool(4);
    const former = pool.crash(0, [{ name: 'poison' }, { name: 'beside' }]);
    pool.pass(60);
    const [poison, beside] = pool.crash(1, [
      { name: 'poison', runningMs: 40, former: former[0]! },
      { name: 'beside', runningMs: 50, former: former[1]! },
    ]);
    pool.pass(60);
    expect(pool.verdicts.has(poison!) || pool.verdicts.has(beside!)).toBe(false);
    pool.comesBack(0);
    pool.pass(20);
    expect(pool.verdicts.get(poison!)).toMatchObject({ kind: 'place', replica: 'm/2', alone: true });
    pool.tell({ type: 'placed', atMs: pool.nowMs, ask: poison! });
    pool.pass(40);
    const [again] = pool.crash(2, [{ name: 'poison', runningMs: 40, former: poison! }]);
    pool.pass(40);
    expect(pool.verdicts.get(again!)).toMatchObject({ kind: 'refuse', record: { status: 'convicted' } });
    expect(pool.verdicts.get(beside!)?.kind).toBe('go');
    expect(pool.status('beside')).toBe('released');
  });

  it('who is alone and answers for a while is let go', () => {
    const pool = new Pool(2);
    const [first, second] = pool.crash(0, [{ name: 'a' }, { name: 'b' }]);
    pool.pass(60);
    const [a] = pool.crash(1, [
      { name: 'a', runningMs: 40, former: first! },
      { name: 'b', runningMs: 50, former: second! },
    ]);
    pool.comesBack(0);
    pool.comesBack(1);
    pool.pass(60);
    pool.tell({ type: 'placed', atMs: pool.nowMs, ask: a! });
    pool.tell({ type: 'answering', atMs: pool.nowMs, ask: a! });
    pool.pass(TRIAL_MS + 20);
    expect(pool.status('a')).toBe('released');
  });

  it('the same content sent twice at once to replicas that die together is not accused for it', () => {
    const pool = new Pool(4);
    pool.crash(0, [{ name: 'same', runningMs: 500 }, { name: 'x' }]);
    pool.nowMs += 5;
    pool.crash(1, [{ name: 'same', runningMs: 500 }, { name: 'y' }]);
    expect(pool.status('same')).toBe('suspected');
  });

  it('two crashes of one replica accuse nobody, where there are others', () => {
    const pool = new Pool(3);
    pool.crash(0, [{ name: 'a' }, { name: 'b' }]);
    pool.comesBack(0);
    pool.nowMs += 1_000;
    pool.crash(0, [{ name: 'a' }, { name: 'c' }]);
    expect(pool.status('a')).toBe('suspected');
  });

  it('two crashes of one replica count where no other could serve', () => {
    const pool = new Pool(2);
    pool.replicas[1]!.ready = false;
    pool.crash(0, [{ name: 'a' }, { name: 'b' }]);
    pool.comesBack(0);
    pool.nowMs += 1_000;
    pool.crash(0, [{ name: 'a' }, { name: 'c' }]);
    expect(pool.status('a')).toBe('held');
  });
});

describe('an engine that answers with errors', () => {
  const errored = {
    type: 'errored',
    model: 'm',
    endpoint: 'chat',
    requestId: 'r',
    pool: 'm',
    replica: 'm/0',
  } as const;

  it('has crashed with what it had when it dies soon after', () => {
    const pool = new Pool(2);
    pool.tell({
      ...errored,
      atMs: pool.nowMs,
      fingerprint: 'a',
      generation: 1,
      runningMs: 5,
      committed: false,
    });
    expect(pool.status('a')).toBeUndefined();
    pool.replicas[0]!.ready = false;
    pool.pass(20);
    expect(pool.status('a')).toBe('suspected');
  });

  it('has not when it was told to stop', () => {
    const pool = new Pool(2);
    pool.tell({
      ...errored,
      atMs: pool.nowMs,
      fingerprint: 'a',
      generation: 1,
      runningMs: 5,
      committed: false,
    });
    Object.assign(pool.replicas[0]!, { ready: false, planned: true });
    pool.pass(20);
    expect(pool.status('a')).toBeUndefined();
  });

  it('has not while it is only late with its probes, and has when it dies of it', () => {
    const pool = new Pool(2);
    const what = { ...errored, fingerprint: 'a', generation: 1, runningMs: 5, committed: false };
    pool.tell({ ...what, atMs: pool.nowMs });
    Object.assign(pool.replicas[0]!, { ready: false, late: true });
    pool.pass(2_000);
    expect(pool.status('a')).toBeUndefined();
    Object.assign(pool.replicas[0]!, { late: false, generation: 2 });
    pool.pass(20);
    expect(pool.status('a')).toBe('suspected');
  });
});

describe('time and room', () => {
  const record = (fingerprint: string, more: Partial<SuspectRecord> = {}): SuspectRecord => ({
    ...{ fingerprint, model: 'm', endpoint: 'chat', status: 'suspected', crashes: [], requestId: 'r' },
    ...{ changedAtMs: 500, expiresAtMs: 2_000, ...more },
  });

  it('who was refused is accused when that is over, and tried alone when it comes again', () => {
    const pool = new Pool(4, [record('poison', { status: 'convicted' }), record('other')]);
    pool.pass(1_500);
    expect([pool.status('poison'), pool.status('other')]).toEqual(['accused', undefined]);
    expect(pool.verdicts.get(pool.arrive('poison'))).toMatchObject({ kind: 'place', alone: true });
  });

  it('of what two say of one request the later counts', () => {
    const pool = new Pool(4, [record('a', { changedAtMs: 700 })]);
    pool.tell({
      type: 'heard',
      atMs: 1_000,
      records: [record('a', { status: 'convicted', changedAtMs: 600 })],
    });
    expect(pool.status('a')).toBe('suspected');
    pool.tell({
      type: 'heard',
      atMs: 1_000,
      records: [record('a', { status: 'convicted', changedAtMs: 800 })],
    });
    expect(pool.status('a')).toBe('convicted');
    pool.tell({ type: 'released', atMs: 1_000, fingerprint: 'a' });
    expect(pool.verdicts.get(pool.arrive('a'))?.kind).toBe('go');
  });

  it('keeps a bounded number of records, the serious ones first', () => {
    const pool = new Pool(4, [record('culprit', { status: 'convicted', changedAtMs: 1 })]);
    for (let index = 0; index < SUSPECTS_MAX + 50; index++)
      pool.crash(0, [{ name: `r${index}` }], { dies: false });
    expect(pool.state.records.size).toBe(SUSPECTS_MAX);
    expect(pool.status('culprit')).toBe('convicted');
    expect(pool.status('r0')).toBeUndefined();
  });

  it('keeps half of the replicas out of a trial', () => {
    const least = [1, 2, 3, 4, 8].map((replicas) => {
      for (let ready = 0; ready <= replicas; ready++) if (canSpareOne(replicas, ready)) return ready;
      return null;
    });
    expect(least).toEqual([1, 2, 3, 3, 5]);
  });
});
