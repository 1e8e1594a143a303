/** Starts the embedded engine's real process for tests, waits for its states, and speaks HTTP to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseSseEvents, type SseEvent } from '../../src/wire/sse/parse-event.ts';
import type { AnswerJson } from './answer-json.ts';

const ENTRY = resolve(import.meta.dirname, '../../src/assembly/embedded-engine-process.ts');

export interface Chunk {
  id: string;
  object: string;
  prompt_token_ids?: number[];
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
  error?: { message: string; type: string; param: string | null; code: string | null };
  choices: {
    index: number;
    text?: string;
    delta?: { role?: string; content?: string };
    finish_reason: string | null;
    stop_reason?: string | number | null;
    token_ids?: number[];
    prompt_token_ids?: number[];
    logprobs?: unknown;
  }[];
}

export class EmbeddedUnderTest {
  readonly child: ChildProcess;
  readonly #directory: string;
  output = '';
  url = '';

  constructor(args: readonly string[] = [], env: Record<string, string> = {}) {
    this.#directory = mkdtempSync(join(tmpdir(), 'autoglm-embedded-'));
    this.child = spawn(process.execPath, [ENTRY, '--port-file', this.#portFile, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (data: Buffer) => {
      this.output += data.toString();
    });
    this.child.stderr?.on('data', (data: Buffer) => {
      this.output += data.toString();
    });
  }

  get #portFile(): string {
    return join(this.#directory, 'port');
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async listening(): Promise<void> {
    await until(() => {
      if (!this.alive) throw new Error(`the engine ended: ${this.output}`);
      try {
        this.url = `http://127.0.0.1:${Number(readFileSync(this.#portFile, 'utf8'))}`;
        return true;
      } catch {
        return false;
      }
    });
  }

  async ready(): Promise<this> {
    await this.listening();
    await until(async () => {
      if (!this.alive) throw new Error(`the engine ended: ${this.output}`);
      const response = await fetch(`${this.url}/health`);
      await response.arrayBuffer();
      return response.status === 200;
    });
    return this;
  }

  async ended(): Promise<number | null> {
    if (this.alive) await new Promise((resolve) => this.child.once('close', resolve));
    return this.child.exitCode;
  }

  async post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
    return await fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      signal: signal ?? null,
    });
  }

  async json(path: string, body: unknown): Promise<AnswerJson> {
    const response = await this.post(path, body);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
    return JSON.parse(text) as AnswerJson;
  }

  async events(path: string, body: object): Promise<SseEvent[]> {
    const response = await this.post(path, { ...body, stream: true });
    return parseSseEvents(await response.text());
  }

  /** All chunks of a stream; fails unless it ends with [DONE]. */
  async chunks(path: string, body: object): Promise<Chunk[]> {
    const events = await this.events(path, body);
    if (events.at(-1)?.data !== '[DONE]') throw new Error(`no [DONE]: ${JSON.stringify(events.at(-1))}`);
    return events.slice(0, -1).map(({ data }) => JSON.parse(data) as Chunk);
  }

  /** Sum over the labels of a metric. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async stop(): Promise<void> {
    if (this.alive) this.child.kill('SIGKILL');
    await this.ended();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export const textOf = (chunks: readonly Chunk[]): string =>
  chunks
    .flatMap(({ choices }) => choices)
    .map((choice) => choice.text ?? choice.delta?.content ?? '')
    .join('');

export const idsOf = (chunks: readonly Chunk[]): number[] =>
  chunks.flatMap(({ choices }) => choices.flatMap((choice) => choice.token_ids ?? []));

/** Waits for a state, with a bound. */
export async function until(check: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`not reached within ${timeoutMs} ms: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
