import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StepGate } from './step-gate.ts';

describe('step gate', () => {
  it('starts all of a round together, and the next when the last has ended', async () => {
    const gate = new StepGate();
    const log: string[] = [];
    const runner = async (name: string, turns: number, steps: number) => {
      for (let step = 0; step < steps; step++) {
        await gate.run(async () => {
          log.push(`${name} begins`);
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          log.push(`${name} ends`);
        });
      }
    };
    await Promise.all([runner('quick', 1, 2), runner('slow', 9, 2)]);
    const round = ['quick begins', 'slow begins', 'quick ends', 'slow ends'];
    expect(log).toEqual([...round, ...round]);
  });

  it('goes on after failures, and hands them to whoever ran the work', async () => {
    const gate = new StepGate();
    await expect(gate.run(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    await expect(gate.run(() => Promise.resolve(1))).resolves.toBe(1);
  });

  it('serves everybody, whenever they come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ delay: fc.nat(5), steps: fc.integer({ min: 1, max: 5 }), turns: fc.nat(6) }), {
          minLength: 1,
          maxLength: 12,
        }),
        async (runners) => {
          const gate = new StepGate();
          let done = 0;
          await Promise.all(
            runners.map(async ({ delay, steps, turns }) => {
              for (let wait = 0; wait < delay; wait++) await new Promise(setImmediate);
              for (let step = 0; step < steps; step++) {
                await gate.run(async () => {
                  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
                  done++;
                });
              }
            }),
          );
          expect(done).toBe(runners.reduce((sum, { steps }) => sum + steps, 0));
        },
      ),
      { numRuns: 200 },
    );
  });
});
