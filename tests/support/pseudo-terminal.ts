/**
 * A command on a real terminal: `script` of util-linux opens one, and what is typed goes through its line discipline, so that
 * Ctrl-C and Ctrl-D are what they are for a person.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, until } from './serve-harness.ts';

export const CTRL_C = '\u0003';
export const CTRL_D = '\u0004';

/** False on systems whose `script` is another one. */
export const hasPseudoTerminals = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

export interface TerminalOptions {
  env: Record<string, string>;
  cwd: string;
  columns?: number;
  rows?: number;
  /** The Node that reads `bin/autoglm.mjs` first. */
  node?: string;
}

export class PseudoTerminal {
  readonly #child: ChildProcess;
  readonly exited: Promise<number | null>;
  #output = '';

  /** Runs `autoglm` with these arguments, which have no quotes in them. */
  constructor(
    args: readonly string[],
    { env, cwd, columns = 80, rows = 24, node = process.execPath }: TerminalOptions,
  ) {
    const command = [node, join(ROOT, 'bin', 'autoglm.mjs'), ...args].map((word) => `'${word}'`).join(' ');
    const text = `stty cols ${columns} rows ${rows}; exec ${command}`;
    this.#child = spawn('script', ['-qec', text, '/dev/null'], {
      cwd,
      env: { ...env, TERM: 'xterm', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (chunk) => {
      this.#output += String(chunk);
    });
    this.exited = new Promise((done) => this.#child.once('close', done));
  }

  get output(): string {
    return this.#output;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  async waitFor(text: RegExp): Promise<void> {
    await until(`output ${text}`, () => text.test(this.#output)).catch((error) => {
      throw new Error(`${String(error)}\noutput:\n${this.#output}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }
}
