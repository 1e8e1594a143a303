/** Runs one seed: a world that is drawn from it, or a given one. */
import type { Ledger } from './ledger.ts';
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
  /** Null: nobody asked for it. */
  ledger: Ledger | null;
}

export interface SimulationOptions {
  machine?: Machine;
  /** Every kind of fault, often: for showing that a broken supervisor is noticed. */
  storm?: boolean;
  traced?: boolean;
  /** Instead of one that is drawn. */
  scenario?: Scenario;
  diesBefore?: number;
  /** Keeps books. */
  measured?: boolean;
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
  const { steps, effects, fingerprint, trace, ledger } = world;
  return { seed, steps, effects, fingerprint, violation, trace: trace ?? [], ledger };
}
