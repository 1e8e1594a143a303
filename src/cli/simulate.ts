/**
 * `autoglm simulate`: one simulated engine in the foreground, with options of its own (`autoglm simulate --help`); with `--recovery`
 * first, what decides about recovery in a pretended world (`autoglm simulate --recovery --help`).
 */
import type { CommandContext } from './command-context.ts';

export async function simulate(options: readonly string[], context: CommandContext): Promise<void> {
  const [first, ...others] = options;
  if (first === '--recovery')
    return (await import('./simulate-recovery.ts')).simulateRecovery(others, context);
  return (await import('../assembly/simulator.ts')).runSimulator(options);
}
