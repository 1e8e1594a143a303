/** Entry of the simulator's process; the supervisor starts it by this path, `autoglm simulate` through `runSimulator`. */
import { runSimulator } from './simulator.ts';

await runSimulator(process.argv.slice(2));
