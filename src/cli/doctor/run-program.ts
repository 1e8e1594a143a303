/** Runs a short program for a check and takes what it prints; a program that hangs is killed. */
import { execFile } from 'node:child_process';

export type ProgramResult =
  | { kind: 'ended'; code: number; output: string }
  | { kind: 'missing' }
  | { kind: 'hung' };

const OUTPUT_BYTES_MAX = 262_144;

export function runProgram(program: string, args: string[], options: { timeoutMs: number }) {
  return new Promise<ProgramResult>((resolve) => {
    const settings = {
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL' as const,
      maxBuffer: OUTPUT_BYTES_MAX,
    };
    execFile(program, args, settings, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim();
      if (error === null) return resolve({ kind: 'ended', code: 0, output });
      if (error.code === 'ENOENT') return resolve({ kind: 'missing' });
      if (error.killed) return resolve({ kind: 'hung' });
      resolve({ kind: 'ended', code: typeof error.code === 'number' ? error.code : 1, output });
    });
  });
}
