/**
 * Goal: a kill by the kernel for want of memory is known as one, answered by restarts that ask for less, and ended in quarantine
 * before it becomes a loop. Method: a real engine process in a cgroup with a real limit, which eats until it is killed, six times
 * within a minute, while a pool beside it is left alone.
 */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSignalSources } from '../../../src/assembly/signal-sources.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { memoryCgroup, removeCgroup } from '../../support/memory-cgroup.ts';
import { fakeModel, StateDirectory, until } from '../../support/supervised.ts';

const LIMIT_BYTES = 160 * 2 ** 20;
const RESTARTS = 5;

let directory: StateDirectory;
beforeEach(() => {
  directory = new StateDirectory();
});
afterEach(() => directory.remove());

it('restarts five times, each time with less, then gives the replica up and tells people', async ({
  skip,
}) => {
  const cgroup = memoryCgroup(`autoglm-oom-${process.pid}`, LIMIT_BYTES);
  if ('reason' in cgroup) return skip(cgroup.reason);
  const sources = createSignalSources({
    config: {
      configPath: null,
      signals: { kernelLog: undefined, nvidiaSmi: 'nvidia-smi', dockerSocket: undefined, plugins: [] },
    },
    clock: systemClock,
    log: () => {},
  });
  try {
    const model = fakeModel();
    const enter = `echo $$ > ${join(cgroup.folder, 'cgroup.procs')}; exec "$0" "$@"`;
    const hungry = fakeModel({
      command: ['/bin/sh', '-c', enter, ...(model.command ?? [])],
      maxBatchSize: 8,
      saferSteps: [{ batchShare: 0.5 }, { batchShare: 0.5 }, { batchShare: 0.5 }],
    });
    const other = fakeModel({ modelName: 'other', servedModel: 'other', model: 'other' });
    const supervised = directory.supervise([hungry, other], { backoffMaxMs: 100 }, { sources });
    await supervised.supervisor.start();
    const status = (id: string) => supervised.supervisor.status().find((known) => known.id === id);
    for (let kill = 0; kill <= RESTARTS; kill++) {
      await until(
        () => status('demo/0')?.state === 'ready' && status('demo/0')?.restarts === kill,
        `start ${kill}`,
      );
      // A look at it while it lives: the cgroup of a process that is gone cannot be found.
      await new Promise((resolve) => setTimeout(resolve, 2_300));
      await fetch(`${status('demo/0')?.url}/eat`, { method: 'POST' }).catch(() => {});
    }
    await until(() => status('demo/0')?.state === 'quarantined', 'it is given up');
    expect(status('demo/0')?.restarts).toBe(RESTARTS);
    const facts = supervised.facts;
    const remedies = facts.flatMap((fact) => (fact.type === 'remedyStarted' ? [fact.remedy] : []));
    expect(remedies).toEqual([
      'restart_process',
      'restart_process',
      'restart_safer',
      'restart_safer',
      'restart_safer',
      'quarantine',
    ]);
    const classes = facts.flatMap((fact) => (fact.type === 'incidentOpened' ? [fact.diagnosis.class] : []));
    expect(new Set(classes)).toEqual(new Set(['host-out-of-memory']));
    expect(status('demo/0')?.window).toBe(1);
    expect(supervised.log.some((line) => line.includes('quarantined'))).toBe(true);
    expect(status('other/0')).toMatchObject({ state: 'ready', restarts: 0, generation: 1 });
    await supervised.supervisor.stop({ engines: 'kill' });
  } finally {
    await removeCgroup(cgroup.folder);
  }
});
