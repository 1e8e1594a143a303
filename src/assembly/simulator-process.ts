/** Entry of the simulator's process; the supervisor starts it by this path, `autoglm simulate` through `runSimulator`. */
import { flushCompileCache } from 'node:module';
import { useCompileCache } from './compile-cache.ts';

useCompileCache();
const { runSimulator } = await import('./simulator.ts');
await runSimulator(process.argv.slice(2));
// A process that is killed would leave its successor nothing.
flushCompileCache();
