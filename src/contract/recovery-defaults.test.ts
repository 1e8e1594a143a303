import { describe, expect, it } from 'vitest';
import { FAULT_GROUPS } from './fault-groups.ts';
import { FAULT_CLASSES, FAULTS, type FaultClass } from './faults.ts';
import { DEFAULT_RECOVERY_POLICY, POLICY_CLASSES } from './recovery-defaults.ts';
import { REMEDIES, type Remedy } from './remedies.ts';

const { strategies } = DEFAULT_RECOVERY_POLICY;
const remediesOf = (name: keyof typeof strategies): Remedy[] =>
  strategies[name].ladder.map(({ remedy }) => remedy);

/** The remedy ends what holds the memory as well, which is what helps. */
const RESTART_ENDS_CAUSE: readonly FaultClass[] = ['orphan-holds-gpu'];
const without = FAULT_CLASSES.filter(
  (name) => !FAULTS[name].restartHelps && !RESTART_ENDS_CAUSE.includes(name),
);

describe('default ladders', () => {
  it('are there for every class of fault and for unknown ones, with at least one step', () => {
    expect([...POLICY_CLASSES].sort()).toEqual([...FAULT_CLASSES, 'unknown'].sort());
    for (const name of POLICY_CLASSES) expect(strategies[name].ladder.length, name).toBeGreaterThan(0);
  });

  it('try every step at least once, and none twice in a ladder', () => {
    for (const name of POLICY_CLASSES) {
      const { ladder } = strategies[name];
      expect(
        ladder.every(({ times }) => Number.isInteger(times) && times >= 1),
        name,
      ).toBe(true);
      expect(new Set(remediesOf(name)).size, name).toBe(ladder.length);
    }
  });

  it.each(
    without,
  )('restart no process for %s before another remedy was tried: a restart does not help', (name) => {
    const [first] = remediesOf(name);
    expect(first).not.toBe('restart_process');
  });

  it.each([
    'busy',
    'frontend-starved',
    'kv-exhausted',
    'straggler',
    'stream-stall',
    'slow-start',
    'ready-too-early',
    'empty-success',
    'gateway-fault',
  ] as const)('never end an engine for %s: it works', (name) => {
    expect(remediesOf(name).filter((remedy) => REMEDIES[remedy].endsProcess)).toEqual([]);
  });

  it.each([
    'bad-configuration',
    'shared-memory-too-small',
    'driver-not-ready',
  ] as const)('give up at once for %s: each start would end the same way', (name) => {
    expect(remediesOf(name)).toEqual(['quarantine']);
  });

  it('start what ended of an unknown cause again, and shut it down safely when it goes on so', () => {
    expect(remediesOf('unknown')).toEqual(['restart_process', 'safe_shutdown', 'page']);
  });

  it('end with a person, or go on with a restart, which has a budget of its own, or with watching', () => {
    const last = POLICY_CLASSES.map((name) => remediesOf(name).at(-1));
    expect([...new Set(last)].sort()).toEqual(['observe', 'page', 'quarantine', 'restart_process']);
  });
});

it('groups name classes that exist, each at most once', () => {
  for (const [group, classes] of Object.entries(FAULT_GROUPS)) {
    expect(new Set<string>(classes).size, group).toBe(classes.length);
    expect(classes.filter((name) => !FAULT_CLASSES.includes(name))).toEqual([]);
  }
});
