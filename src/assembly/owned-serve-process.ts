/**
 * Entry of a whole system that one program owns (`InferenceEngine`): the launcher, which ends everything when the pipe to its
 * owner breaks. Options: --config FILE [--temporary DIR], the second one removed when all has ended.
 */
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { useCompileCache } from './compile-cache.ts';

useCompileCache();
/** Where the owner puts the pipe. */
const OWNER_FD = 3;

const { values } = parseArgs({ options: { config: { type: 'string' }, temporary: { type: 'string' } } });
// Whoever read our output may be gone.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
const { runLauncher } = await import('./launcher.ts');
const { readEnvironment } = await import('./config/environment.ts');
const { PlatformError } = await import('../contract/errors.ts');
const { exitCodeFor } = await import('../contract/exit-codes.ts');

let code: number;
try {
  code = await runLauncher({
    configOption: values.config,
    environment: readEnvironment(),
    print: (text) => void process.stdout.write(`${text}\n`),
    complain: (text) => void process.stderr.write(`${text}\n`),
    owner: { fd: OWNER_FD, temporary: values.temporary !== undefined },
  });
} catch (thrown) {
  const error = PlatformError.from(thrown);
  process.stderr.write(`error: ${error.message}\n`);
  code = exitCodeFor(error.code);
}
// Kept where the start was refused: the owner reads why.
if (values.temporary !== undefined && code === 0)
  rmSync(values.temporary, { recursive: true, force: true, maxRetries: 3 });
process.exit(code);
