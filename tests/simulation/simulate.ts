/** Runs one seed, and says how to run it again when something did not hold. */

import { MACHINE, type Machine } from './machine.ts';
import { Violation } from './safety.ts';
import type { Scenario } from './scenario.ts';
import { World } from './world.ts';

export interface SimulationResult {
  seed: number;
  steps: number;
  effects: number;
  fingerprint: number;
  /** What did not hold; null: all did. */
  violation: string | null;
  trace: string[];
}

export interface SimulationOptions {
  machine?: Machine;
  /** Every kind of fault, often: for showing that a broken supervisor is noticed. */
  storm?: boolean;
  traced?: boolean;
  scenario?: Scenario;
  diesBefore?: number;
}

export function simulate(
  seed: number,
  { machine = MACHINE, storm = false, traced = false, ...more }: SimulationOptions = {},
): SimulationResult {
  const world = new World(seed, machine, { storm, traced, ...more });
  let violation: string | null = null;
  try {
    world.run();
  } catch (error) {
    // A broken invariant inside the machine counts as well.
    violation = error instanceof Violation ? error.message : String((error as Error).stack);
  }
  const { steps, effects, fingerprint, trace } = world;
  return { seed, steps, effects, fingerprint, violation, trace: trace ?? [] };
}

export function replayCommand(seed: number): string {
  return `AUTOGLM_SEED=${seed} npx vitest run --project integration tests/simulation/recovery.test.ts`;
}
