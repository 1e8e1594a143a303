/** `autoglm simulate`: one simulated engine in the foreground; its options are its own (`autoglm simulate --help`). */
import { runSimulator } from '../assembly/simulator.ts';

export async function simulate(options: readonly string[]): Promise<void> {
  await runSimulator(options);
}
