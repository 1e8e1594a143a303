/**
 * Runs a short program with a deadline. One that does not end although it was killed, as programs that wait in a driver do, is
 * left behind and never started a second time beside itself.
 */
import { execFile } from 'node:child_process';

export type ProgramEnd =
  | { kind: 'ended'; code: number; output: string }
  | { kind: 'missing' }
  | { kind: 'hung' };

export type RunProgram = (args: readonly string[]) => Promise<ProgramEnd>;

const OUTPUT_BYTES_MAX = 1_048_576;

export function programRunner(program: string, timeoutMs: number): RunProgram {
  let left = 0;
  return async (args) => {
    if (left > 0) return { kind: 'hung' };
    return await new Promise<ProgramEnd>((resolve) => {
      let timer: NodeJS.Timeout | null = null;
      let isLeft = false;
      const options = { maxBuffer: OUTPUT_BYTES_MAX, encoding: 'utf8' as const };
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        if (timer !== null) clearTimeout(timer);
        if (isLeft) left--;
        resolve(endOf(error, `${stdout}${stderr}`));
      });
      child.unref();
      timer = setTimeout(() => {
        isLeft = true;
        left++;
        child.kill('SIGKILL');
        resolve({ kind: 'hung' });
      }, timeoutMs);
    });
  };
}

function endOf(error: Error | null, output: string): ProgramEnd {
  if (error === null) return { kind: 'ended', code: 0, output };
  const { code } = error as NodeJS.ErrnoException & { code?: string | number };
  if (code === 'ENOENT' || code === 'EACCES') return { kind: 'missing' };
  return { kind: 'ended', code: typeof code === 'number' ? code : 1, output };
}
