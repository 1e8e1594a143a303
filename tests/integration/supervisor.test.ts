/**
 * The supervisor plane over real processes: what it starts, brings back, gives up, adopts and ends. A small fake engine
 * stands for real ones.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { ReplicaStatus } from '../../src/contract/admin-api.ts';
import type { EngineDriver } from '../../src/contract/ports/engine-driver.ts';
import { openFenceFile } from '../../src/drivers/coordination/fence-file.ts';
import { vllm } from '../../src/drivers/engines/vllm.ts';
import { openReplicaRecords } from '../../src/drivers/storage/replica-records.ts';
import { FenceGuard, fencedProcessHost, fencedRecords } from '../../src/planes/supervisor/fenced.ts';
import { machinePace } from '../support/machine-pace.ts';
import { fakeModel, StateDirectory, type Supervised, until } from '../support/supervised.ts';

let directory: StateDirectory;

beforeEach(() => {
  directory = new StateDirectory();
});

afterEach(() => directory.remove());

const statusOf = ({ supervisor }: Supervised, id = 'demo/0'): ReplicaStatus => {
  const status = supervisor.status().find((candidate) => candidate.id === id);
  if (status === undefined) throw new Error(`no replica ${id}`);
  return status;
};

async function ready(supervised: Supervised): Promise<void> {
  await supervised.supervisor.start();
  expect(await supervised.supervisor.untilReady(20_000), JSON.stringify(supervised.supervisor.status())).toBe(
    true,
  );
}

it('starts engines, climbs the ladder, and leaves no process behind', async () => {
  const supervised = directory.supervise([fakeModel({ replicas: 2 })]);
  await ready(supervised);
  const [first, second] = supervised.supervisor.status();
  expect(first).toMatchObject({ id: 'demo/0', state: 'ready', generation: 1, restarts: 0, managed: true });
  expect(second).toMatchObject({ id: 'demo/1', state: 'ready', window: 256 });
  expect(directory.living().sort()).toEqual([first!.pid, second!.pid].sort());
  expect(supervised.supervisor.fleet().pools[0]?.replicas.map(({ state }) => state)).toEqual([
    'ready',
    'ready',
  ]);
  expect(readFileSync(first!.logFile!, 'utf8')).toContain(`fake engine, pid ${first!.pid}`);
  await supervised.supervisor.stop({ engines: 'drain' });
  expect(directory.living()).toEqual([]);
});

it('brings an engine back that was killed, and tells gateways within 100 ms', async () => {
  const supervised = directory.supervise([fakeModel()]);
  await ready(supervised);
  const { pid, url } = statusOf(supervised);
  const killedAtMs = performance.now();
  process.kill(pid!, 'SIGKILL');
  await until(() => supervised.stateOf('demo/0') !== 'ready', 'the death is seen');
  const told = supervised.fleets.find(
    ({ atMs, fleet }) => atMs > killedAtMs && fleet.pools[0]?.replicas[0]?.state !== 'ready',
  );
  expect(told!.atMs - killedAtMs).toBeLessThan(100 * machinePace());
  await until(() => supervised.stateOf('demo/0') === 'ready', 'it is ready again');
  const after = statusOf(supervised);
  expect(after).toMatchObject({ generation: 2, restarts: 1 });
  expect(after.pid).not.toBe(pid);
  expect(after.url).not.toBe(url);
  expect(after.lastIncident?.summary).toBe('ended by SIGKILL while ready');
});

it('takes an exit with status 0 that nobody asked for as a failure', async () => {
  const supervised = directory.supervise([fakeModel()]);
  await ready(supervised);
  await fetch(`${statusOf(supervised).url}/exit?code=0`).catch(() => {});
  await until(() => statusOf(supervised).generation === 2, 'a second generation');
  await until(() => supervised.stateOf('demo/0') === 'ready', 'ready again');
  expect(statusOf(supervised).lastIncident?.summary).toBe('exit code 0 while ready');
});

it('gives up on a crash loop, says why in words, and tries again when a person says so', async () => {
  const manners = 'exit-at-start=134';
  const supervised = directory.supervise([fakeModel({}, manners)], { restartsMax: 1 });
  await supervised.supervisor.start();
  expect(await supervised.supervisor.untilReady(20_000)).toBe(false);
  const status = statusOf(supervised);
  expect(status).toMatchObject({ state: 'quarantined', restarts: 1, pid: null });
  expect(status.reason).toMatch(
    /^exited 2 times within [\d.]+ m?s; last: exit code 134 \(SIGABRT\) while starting$/,
  );
  expect(supervised.log.join('\n')).toContain('quarantined: exited 2 times');
  expect(supervised.supervisor.restart('demo/0').ok).toBe(true);
  await until(() => statusOf(supervised).generation >= 3, 'it was started again');
});

it('gives up on three starts that end alike, whatever the limit on restarts', async () => {
  const supervised = directory.supervise([fakeModel({}, 'exit-at-start=134')], { restartsMax: 100 });
  await supervised.supervisor.start();
  expect(await supervised.supervisor.untilReady(20_000)).toBe(false);
  const status = statusOf(supervised);
  expect(status).toMatchObject({ state: 'quarantined', restarts: 2, pid: null });
  expect(status.reason).toContain('bad-configuration');
  expect(status.reason).toContain('the last 3 starts ended alike');
});

it('says of an engine that ends what its log says of the cause, and only of this process', async () => {
  const script = 'console.error("fatal: the weights are damaged"); console.log("bye"); process.exit(3)';
  const supervised = directory.supervise(
    [fakeModel({ command: [process.execPath, '-e', script, '{port}'] })],
    {
      restartsMax: 0,
    },
  );
  await supervised.supervisor.start();
  expect(await supervised.supervisor.untilReady(20_000)).toBe(false);
  const words = 'exit code 3 while starting: fatal: the weights are damaged';
  expect(statusOf(supervised).reason).toMatch(new RegExp(`; last: ${words}$`));
  const [replica] = supervised.supervisor.fleet().pools[0]!.replicas;
  expect(replica?.reason).toContain(words);
  supervised.supervisor.configure([fakeModel({}, 'exit-at-start=4')]);
  supervised.supervisor.restart('demo/0');
  await until(() => statusOf(supervised).reason.includes('exit code 4'), 'the other one has ended');
  expect(statusOf(supervised).reason).toMatch(/exit code 4 while starting$/);
});

it('does not loop on a program that is not there', async () => {
  const supervised = directory.supervise([fakeModel({ command: ['no-such-engine-here', '{port}'] })]);
  await supervised.supervisor.start();
  expect(await supervised.supervisor.untilReady(20_000)).toBe(false);
  expect(statusOf(supervised)).toMatchObject({ state: 'quarantined', generation: 1, restarts: 0 });
  expect(statusOf(supervised).reason).toContain('program "no-such-engine-here" was not found');
});

it('adopts what runs, with the same pid, and supervises on', async () => {
  const first = directory.supervise([fakeModel({ replicas: 2 })]);
  await ready(first);
  const before = first.supervisor.status().map(({ pid }) => pid);
  await first.supervisor.stop({ engines: 'leave' });

  const second = directory.supervise([fakeModel({ replicas: 2 })]);
  expect(await second.supervisor.start()).toEqual({ adopted: 2 });
  expect(second.fleets[0]?.fleet.pools[0]?.replicas.map(({ state }) => state)).toEqual(['ready', 'ready']);
  expect(second.supervisor.status().map(({ pid }) => pid)).toEqual(before);
  await until(
    () => second.supervisor.status().every(({ reason }) => reason === 'all probes passed'),
    'probed',
  );
  process.kill(before[0]!, 'SIGKILL');
  await until(() => statusOf(second).generation === 2 && statusOf(second).state === 'ready', 'brought back');
  expect(statusOf(second, 'demo/1').pid).toBe(before[1]);
});

it('brings back what died while no supervisor watched, and remembers the failures', async () => {
  const first = directory.supervise([fakeModel()]);
  await ready(first);
  process.kill(statusOf(first).pid!, 'SIGKILL');
  await until(() => statusOf(first).generation === 2 && statusOf(first).state === 'ready', 'brought back');
  await first.supervisor.stop({ engines: 'leave' });
  process.kill(statusOf(first).pid!, 'SIGKILL');
  await until(() => directory.living().length === 0, 'dead');

  const second = directory.supervise([fakeModel()]);
  expect(await second.supervisor.start()).toEqual({ adopted: 0 });
  await until(() => second.stateOf('demo/0') === 'ready', 'ready');
  expect(statusOf(second)).toMatchObject({ generation: 3, restarts: 2 });
  expect(statusOf(second).lastIncident?.summary).toBe('ended while no supervisor watched');
});

it('adopts by its tag an engine whose record was lost, and ends what nobody wants', async () => {
  const other = fakeModel({ modelName: 'other', servedModel: 'other', model: 'other' });
  const first = directory.supervise([fakeModel(), other]);
  await ready(first);
  const { pid, url } = statusOf(first);
  await first.supervisor.stop({ engines: 'leave' });
  rmSync(join(directory.root, 'replicas'), { recursive: true });
  mkdirSync(join(directory.root, 'replicas'));
  writeFileSync(join(directory.root, 'replicas', 'demo-0.json'), '{"torn');

  const second = directory.supervise([fakeModel()]);
  expect(await second.supervisor.start()).toEqual({ adopted: 2 });
  expect(await second.supervisor.untilReady(20_000)).toBe(true);
  expect(statusOf(second)).toMatchObject({ pid, url, generation: 1 });
  await until(() => directory.living().length === 1, 'the unwanted engine was ended');
  expect(directory.living()).toEqual([pid]);
  expect(second.log.join('\n')).toContain('could not be read and was set aside');
});

it('leaves engines of other state directories alone', async () => {
  const neighbour = new StateDirectory();
  try {
    const theirs = neighbour.supervise([fakeModel()]);
    await ready(theirs);
    const ours = directory.supervise([fakeModel()]);
    expect(await ours.supervisor.start()).toEqual({ adopted: 0 });
    await ours.supervisor.stop({ engines: 'kill' });
    expect(neighbour.living()).toEqual([statusOf(theirs).pid]);
  } finally {
    await neighbour.remove();
  }
});

it('watches an engine that runs elsewhere, and neither starts nor ends it', async () => {
  const host = directory.supervise([fakeModel()]);
  await ready(host);
  const engine = statusOf(host);
  const watching = new StateDirectory();
  try {
    const watcher = watching.supervise([fakeModel({ urls: [engine.url!], command: undefined })]);
    await watcher.supervisor.start();
    await until(() => watcher.stateOf('demo/0') === 'ready', 'ready');
    expect(statusOf(watcher)).toMatchObject({ managed: false, pid: null, url: engine.url, logFile: null });
    expect(watcher.supervisor.restart('demo/0')).toMatchObject({ ok: false });
    expect(watcher.supervisor.rollingRestart('demo')).toEqual({
      ok: false,
      message: 'pool "demo": demo/0 runs elsewhere and is watched only; restart it where it runs',
    });
    expect(watcher.supervisor.drain('demo/0').ok).toBe(true);
    await until(() => watcher.stateOf('demo/0') === 'stopped', 'out of rotation');
    expect(watcher.supervisor.rollingRestart('demo')).toMatchObject({ ok: true });
    await until(() => watcher.stateOf('demo/0') === 'ready', 'back in rotation');
    process.kill(engine.pid!, 'SIGSTOP');
    await until(() => watcher.stateOf('demo/0') === 'unready', 'unready');
    process.kill(engine.pid!, 'SIGCONT');
    await until(() => watcher.stateOf('demo/0') === 'ready', 'ready again');
    await watcher.supervisor.stop({ engines: 'drain' });
    expect(directory.living()).toEqual([engine.pid]);
  } finally {
    await watching.remove();
  }
});

it('keeps an engine in rotation whose probes are late while gateways see answers go on, and says of others that they are late', async () => {
  let sinceProgressMs: number | null = 50;
  const supervised = directory.supervise(
    [fakeModel()],
    { probeTimeoutMs: 200 },
    { sinceProgressMs: async () => sinceProgressMs },
  );
  await ready(supervised);
  const { pid } = statusOf(supervised);
  const late = () => supervised.supervisor.fleet().pools[0]?.replicas[0]?.late;
  process.kill(pid!, 'SIGSTOP');
  try {
    await until(() => statusOf(supervised).reason.startsWith('busy'), 'busy');
    // As many probes as would take it out, twice over.
    for (let turn = 0; turn < 4; turn++) {
      const { length } = supervised.facts;
      await new Promise((done) => setTimeout(done, 300));
      expect(supervised.stateOf('demo/0')).toBe('ready');
      expect(supervised.facts.length).toBe(length);
    }
    sinceProgressMs = null;
    await until(() => supervised.stateOf('demo/0') === 'unready', 'unready');
    expect(late()).toBe(true);
    expect(supervised.fleets.at(-1)?.fleet.pools[0]?.replicas[0]).toMatchObject({
      state: 'unready',
      late: true,
    });
  } finally {
    process.kill(pid!, 'SIGCONT');
  }
  await until(() => supervised.stateOf('demo/0') === 'ready', 'ready again');
  expect(late()).toBeUndefined();
});

it('does not say that an engine is late which accepts no connection, or says itself that it is unwell', async () => {
  const unwell = join(directory.root, 'unwell-too');
  const supervised = directory.supervise([fakeModel({}, `deaf-while=${unwell}`)]);
  await ready(supervised);
  writeFileSync(unwell, '');
  await until(() => supervised.stateOf('demo/0') === 'unready', 'unready');
  expect(supervised.supervisor.fleet().pools[0]?.replicas[0]?.late).toBeUndefined();
});

it('takes an unwell engine out of rotation without restarting it', async () => {
  const unwell = join(directory.root, 'unwell');
  const supervised = directory.supervise([fakeModel({}, `deaf-while=${unwell}`)]);
  await ready(supervised);
  const { pid } = statusOf(supervised);
  writeFileSync(unwell, '');
  await until(() => supervised.stateOf('demo/0') === 'unready', 'unready');
  expect(statusOf(supervised).reason).toContain('HTTP 503 told to be unwell');
  rmSync(unwell);
  await until(() => supervised.stateOf('demo/0') === 'ready', 'ready');
  expect(statusOf(supervised)).toMatchObject({ pid, generation: 1, restarts: 0 });
});

it('restarts a pool one at a time, with a replica ready at every moment', async () => {
  const supervised = directory.supervise([fakeModel({ replicas: 3 })]);
  await ready(supervised);
  expect(supervised.supervisor.rollingRestart('demo').ok).toBe(true);
  await until(
    () =>
      supervised.supervisor.status().every(({ generation, state }) => generation === 2 && state === 'ready'),
    'all have a new generation',
  );
  const readyCounts = supervised.fleets
    .slice(supervised.fleets.findIndex(({ fleet }) => readyIn(fleet) === 3))
    .map(({ fleet }) => readyIn(fleet));
  expect(Math.min(...readyCounts)).toBe(2);
});

const readyIn = (fleet: Supervised['fleets'][number]['fleet']) =>
  fleet.pools[0]!.replicas.filter(({ state }) => state === 'ready').length;

it('restarts replicas one at a time when their configuration has changed', async () => {
  const first = directory.supervise([fakeModel({ replicas: 2 })]);
  await ready(first);
  await first.supervisor.stop({ engines: 'leave' });
  const second = directory.supervise([fakeModel({ replicas: 2, maxSeqLength: 4096 })]);
  expect(await second.supervisor.start()).toEqual({ adopted: 2 });
  await until(
    () => second.supervisor.status().every(({ generation, state }) => generation === 2 && state === 'ready'),
    'both have a new generation',
  );
  expect(Math.min(...second.fleets.map(({ fleet }) => readyIn(fleet)))).toBe(1);
});

it('waits for requests in flight, then ends even an engine that ignores SIGTERM', async () => {
  let inFlight = 2;
  const supervised = directory.supervise(
    [fakeModel({}, 'ignore-term child')],
    {},
    {
      collectInFlight: async () => ({ 'demo/0': inFlight }),
    },
  );
  await ready(supervised);
  expect(supervised.supervisor.drain('demo/0').ok).toBe(true);
  await until(() => statusOf(supervised).inFlight === 2, 'the gateways were asked');
  await systemClock.sleep(500);
  expect(supervised.stateOf('demo/0')).toBe('draining');
  inFlight = 0;
  await until(() => supervised.stateOf('demo/0') === 'stopped', 'stopped');
  expect(readFileSync(statusOf(supervised).logFile!, 'utf8')).toContain('SIGTERM ignored');
  expect(directory.living()).toEqual([]);
  // Its child had a process group of its own, and went with it all the same.
  expect(directory.processHost.killOwned(`${directory.instance}:`)).toBe(0);

  await supervised.supervisor.stop({ engines: 'leave' });
  const second = directory.supervise([fakeModel()]);
  await second.supervisor.start();
  expect(second.stateOf('demo/0')).toBe('stopped');
  expect(second.supervisor.restart('demo/0').ok).toBe(true);
  await until(() => second.stateOf('demo/0') === 'ready', 'started again on request');
});

it('brings drained replicas back when their pool is restarted, before the others go', async () => {
  const supervised = directory.supervise([fakeModel({ replicas: 3 })]);
  await ready(supervised);
  supervised.supervisor.drain('demo/1');
  await until(() => supervised.stateOf('demo/1') === 'stopped', 'drained');
  const from = supervised.fleets.length;
  expect(supervised.supervisor.rollingRestart('demo')).toEqual({
    ok: true,
    message: 'pool "demo": demo/1 was drained and starts now; demo/0, demo/2 restart one at a time',
  });
  await until(
    () =>
      supervised.supervisor.status().every(({ generation, state }) => generation === 2 && state === 'ready'),
    'all have a new generation',
  );
  const readyCounts = supervised.fleets.slice(from).map(({ fleet }) => readyIn(fleet));
  expect(Math.min(...readyCounts)).toBe(2);
});

it('cuts no request because gateways are silent, and none before they have heard of the drain', async () => {
  const answers: (() => Promise<Record<string, number>>)[] = [
    () => Promise.reject(new Error('no gateway is there')),
    async () => ({}),
    async () => ({ 'demo/1': 0 }),
  ];
  let asked = 0;
  const supervised = directory.supervise(
    [fakeModel()],
    {},
    { collectInFlight: () => (answers[asked++ % answers.length] as (typeof answers)[number])() },
  );
  await ready(supervised);
  supervised.supervisor.drain('demo/0');
  await until(() => asked >= 6, 'gateways are asked again and again');
  expect(supervised.stateOf('demo/0')).toBe('draining');
  answers.splice(0, 3, async () => ({ 'demo/0': 0 }));
  await until(() => supervised.stateOf('demo/0') === 'stopped', 'drained');
  expect(statusOf(supervised).reason).toBe('drained on request; ended by SIGTERM');
});

it('shows gateways every replica with its reason, also those that have never run', async () => {
  const supervised = directory.supervise([
    fakeModel({ replicas: 2, command: ['no-such-engine-here', '{port}'] }),
  ]);
  await supervised.supervisor.start();
  expect(supervised.supervisor.fleet().pools[0]?.replicas).toMatchObject([
    { id: 'demo/0', state: 'starting', url: '', reason: 'is in the configuration' },
    { id: 'demo/1', state: 'starting', url: '' },
  ]);
  expect(await supervised.supervisor.untilReady(20_000)).toBe(false);
  const last = supervised.fleets.at(-1)?.fleet.pools[0]?.replicas;
  expect(last).toMatchObject([{ state: 'quarantined', url: '' }, { state: 'quarantined' }]);
  expect(last?.[0]?.reason).toContain('program "no-such-engine-here" was not found');
});

it('ends a start that hangs, on request and when everything ends', async () => {
  let signals = 0;
  const hanging: EngineDriver = {
    ...vllm,
    launch: (_context, signal) => {
      signal.addEventListener('abort', () => signals++);
      return new Promise(() => {});
    },
  };
  const supervised = directory.supervise(
    [fakeModel({ replicas: 2 })],
    {},
    { drivers: new Map([['vllm', hanging]]) },
  );
  await supervised.supervisor.start();
  await until(() => supervised.stateOf('demo/0') === 'starting', 'starting');
  await systemClock.sleep(50);
  supervised.supervisor.drain('demo/0');
  await until(() => supervised.stateOf('demo/0') === 'stopped', 'given up');
  expect(statusOf(supervised).reason).toBe('the start of demo/0 was called off');
  expect(signals).toBe(1);
  await supervised.supervisor.stop({ engines: 'drain' });
  expect(signals).toBe(2);
  expect(supervised.supervisor.status()).toEqual([]);
});

it('supervises on when records cannot be written', async () => {
  writeFileSync(join(directory.root, 'blocked'), '');
  const supervised = directory.supervise(
    [fakeModel()],
    {},
    {
      records: {
        readAll: async () => ({ records: [], setAside: [] }),
        write: () => Promise.reject(new Error('ENOSPC: no space left on device')),
        remove: () => Promise.reject(new Error('ENOSPC: no space left on device')),
      },
    },
  );
  await ready(supervised);
  process.kill(statusOf(supervised).pid!, 'SIGKILL');
  await until(() => statusOf(supervised).generation === 2 && statusOf(supervised).state === 'ready', 'back');
  expect(supervised.log.join('\n')).toContain('no space left on device');
});

it('says which replicas there are when asked about another', async () => {
  const supervised = directory.supervise([fakeModel()]);
  await supervised.supervisor.start();
  expect(supervised.supervisor.drain('demo/7')).toEqual({
    ok: false,
    message: 'unknown replica "demo/7"; known: demo/0',
  });
  expect(supervised.supervisor.rollingRestart('x').message).toBe('unknown pool "x"; known: demo');
  await supervised.supervisor.stop({ engines: 'kill' });
  expect(directory.living()).toEqual([]);
});

it('refuses the orders of a supervisor that another one has replaced, and leaves its engines to that one', async () => {
  const fences = openFenceFile(join(directory.root, 'fence'));
  const lost: string[] = [];
  const fenced = async (name: string) => {
    const guard = new FenceGuard(await fences.take(name), () => lost.push(name));
    return directory.supervise(
      [fakeModel()],
      {},
      {
        processHost: fencedProcessHost(directory.processHost, guard),
        records: fencedRecords(openReplicaRecords(join(directory.root, 'replicas')), guard),
      },
    );
  };
  const first = await fenced('first');
  await ready(first);
  const { pid } = statusOf(first);
  const second = await fenced('second');
  await ready(second);
  expect(statusOf(second).pid).toBe(pid);
  first.supervisor.restart('demo/0');
  await until(() => lost.length > 0, 'the first is refused');
  expect(lost).toEqual(['first']);
  expect(directory.living()).toEqual([pid]);
  second.supervisor.restart('demo/0');
  await until(
    () => statusOf(second).state === 'ready' && statusOf(second).pid !== pid,
    'the second restarts it',
  );
  expect(lost).toEqual(['first']);
});
