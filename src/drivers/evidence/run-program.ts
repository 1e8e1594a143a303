/** Runs a program that looks at something, and takes what it prints until it ends or the time is over. Nobody waits for it longer. */
import { spawn } from 'node:child_process';

export interface ProgramResult {
  output: string;
  /** Why it is not whole, or `null`. */
  problem: string | null;
  /** It is not installed. */
  isMissing: boolean;
}

const OUTPUT_BYTES_MAX = 512 * 1024;

export function runProgram(
  program: string,
  args: readonly string[],
  { path, signal }: { path: string; signal: AbortSignal },
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    // Without our environment: it may hold keys, and a program may print it.
    const child = spawn(program, args, {
      env: { PATH: path, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const finish = (problem: string | null, isMissing = false) => {
      signal.removeEventListener('abort', onAbort);
      resolve({ output: Buffer.concat(pieces).toString('utf8'), problem, isMissing });
    };
    const onAbort = () => {
      // One that waits for a broken device does not even die by this.
      child.kill('SIGKILL');
      child.unref();
      child.stdout.destroy();
      child.stderr.destroy();
      finish(`${program} had not ended when the time was over`);
    };
    const take = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= OUTPUT_BYTES_MAX) pieces.push(chunk);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') finish(`${program} is not installed here`, true);
      else finish(`${program}: ${error.message}`);
    });
    child.once('close', (code, killedBy) =>
      finish(code === 0 ? null : `${program} ended with ${code === null ? killedBy : `code ${code}`}`),
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
