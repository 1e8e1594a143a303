/**
 * Goal: a request that kills engines does not take the fleet down, and nobody else notices. Method: the whole system with four
 * simulators that die of a word in the prompt, many streams on all of them, and a stock client that sends the word and retries;
 * then the same again from others, after the gateway and the node process were killed, until a person lets it in.
 */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import type { SuspectRecord } from '../../src/contract/suspects.ts';
import { chatLine, readOutput, startBatch, untilOver } from '../support/batch-client.ts';
import { eventually } from '../support/gateway-under-test.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

/** No word of the simulator's own: a stream that had written it would kill what continues it. */
const WORD = 'qxqxqx';
const POISON = { action: 'exit', code: 1, log: 'poison', when: { promptContains: WORD } };
const REPLICAS = 4;

let system: SystemUnderTest | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
});

function start(quarantine = {}): Promise<SystemUnderTest> {
  const args = ['--fault', JSON.stringify(POISON), '--model-seed', '7'];
  return startSystem({
    models: [{ ...simulatorPool('m', REPLICAS, args), max_batch_size: 32 }],
    gateway: { workers: 2 },
    quarantine,
  });
}

function client(options: { apiKey?: string; maxRetries?: number } = {}): OpenAI {
  return new OpenAI({ baseURL: system?.v1() ?? '', apiKey: 'none', maxRetries: 4, ...options });
}

interface Told {
  text: string;
  finished: boolean;
  failure: string | null;
}

async function stream(index: number, onToken: () => void, maxTokens = 400): Promise<Told> {
  const told: Told = { text: '', finished: false, failure: null };
  try {
    const events = await client({ maxRetries: 0 }).chat.completions.create({
      ...{ model: 'm', stream: true, max_tokens: maxTokens, temperature: 0 },
      messages: [{ role: 'user', content: `tell story number ${index}` }],
    });
    for await (const { choices } of events) {
      const [choice] = choices;
      if (choice?.delta.content) {
        if (told.text === '') onToken();
        told.text += choice.delta.content;
      }
      if (choice?.finish_reason) told.finished = true;
    }
  } catch (error) {
    told.failure = String(error);
  }
  return told;
}

/** How it ended for the client: a status, or the text. */
async function askPoison(options: { stream?: boolean; apiKey?: string } = {}): Promise<number | string> {
  try {
    const answer = await client(options).chat.completions.create({
      model: 'm',
      max_tokens: 20,
      messages: [{ role: 'user', content: `a ${WORD} came by` }],
    });
    return answer.choices[0]?.message.content ?? '';
  } catch (error) {
    return error instanceof OpenAI.APIError ? (error.status ?? String(error)) : String(error);
  }
}

function deaths({ pools }: SystemStatus): number {
  return pools.flatMap(({ replicas }) => replicas).reduce((sum, { restarts }) => sum + restarts, 0);
}

async function suspects(): Promise<SuspectRecord[]> {
  const answer = await fetch(`${system?.adminUrl()}/api/v1/suspects`);
  return ((await answer.json()) as { suspects: SuspectRecord[] }).suspects;
}

async function refused(): Promise<SuspectRecord> {
  return eventually(async () =>
    (await suspects()).find(({ status }) => status === 'held' || status === 'convicted'),
  );
}

const COMMAND = resolve(import.meta.dirname, '../../bin/autoglm.mjs');

async function command(...args: string[]): Promise<string> {
  const all = [COMMAND, 'suspects', ...args, '--config', system?.configFile ?? ''];
  const { stdout } = await promisify(execFile)(process.execPath, all, {
    env: { ...process.env, NO_COLOR: '1' },
  });
  return stdout;
}

const isWhole = ({ pools, gateways }: SystemStatus) =>
  pools.every(({ ready, total }) => ready === total) && gateways.some(({ state }) => state === 'listening');

describe('a request that kills engines', () => {
  it('costs two of four replicas at most, is refused with 422, and harms no stream beside it', async () => {
    system = await start();
    const STREAMS = 24;
    let begun = 0;
    const running = Array.from({ length: STREAMS }, (_, index) =>
      stream(index, () => {
        begun++;
      }),
    );
    await eventually(() => begun === STREAMS, 30_000);
    expect(await askPoison()).toBe(422);
    const { fingerprint, crashes } = await refused();
    expect(fingerprint).toMatch(/^[0-9a-f]{32}$/);
    expect(crashes.length).toBeLessThanOrEqual(2);
    const told = await Promise.all(running);
    expect(told.filter(({ failure, finished }) => failure !== null || !finished)).toEqual([]);
    expect(deaths(await system.until(isWhole, 60_000))).toBeLessThanOrEqual(2);

    // The same text from somebody else, in another dialect, with other fields that say nothing.
    const other = await fetch(`${system.url()}/v1/messages`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'anthropic-version': '2023-06-01',
        'x-api-key': 'other',
      },
      body: JSON.stringify({
        model: 'm',
        max_tokens: 20,
        messages: [{ role: 'user', content: `a ${WORD} came by` }],
      }),
    });
    expect(other.status).toBe(422);
    // Nobody is refused for having been beside it.
    const [again] = await Promise.all([stream(1, () => {}, 40)]);
    expect(again?.failure).toBeNull();
    expect((await suspects()).map((record) => record.fingerprint)).toEqual([fingerprint]);

    // The gateway is killed, then the node process.
    const before = await system.status();
    killQuietly(before.gateways[0]?.pid ?? 0);
    await system.until((now) => isWhole(now) && now.gateways[0]?.pid !== before.gateways[0]?.pid, 30_000);
    expect(await eventually(() => askPoison())).toBe(422);
    killQuietly(before.node.pid);
    await system.until((now) => isWhole(now) && now.node.pid !== before.node.pid, 30_000);
    expect(await askPoison()).toBe(422);
    expect(deaths(await system.status())).toBeLessThanOrEqual(2);
    const metrics = await (await fetch(`${system.adminUrl()}/metrics`)).text();
    expect(metrics).toMatch(/autoglm_suspect_requests\{[^}]*status="(held|convicted)"[^}]*\} 1/);

    // A person lets it in again: it is like any other, and kills again.
    const short = fingerprint.slice(0, 12);
    expect(await command()).toMatch(new RegExp(`${short} +(held|convicted) +m +\\d`));
    expect(await command('show', short)).toContain(`crash `);
    expect(await command('release', short)).toContain(`${fingerprint} (model m) may be sent again`);
    expect(await command()).toBe('no suspect requests\n');
    expect(await eventually(() => askPoison())).toBe(422);
  });

  it('is one failed line of a batch, whose other lines are answered', async () => {
    system = await start();
    const lines = Array.from({ length: 6 }, (_, index) =>
      chatLine(`line-${index}`, {
        model: 'm',
        messages: [{ role: 'user', content: index === 3 ? `a ${WORD} line` : `line ${index}` }],
      }),
    );
    const batch = await untilOver(client(), (await startBatch(client(), lines)).id, 120_000);
    expect(batch.request_counts).toEqual({ total: 6, completed: 5, failed: 1 });
    const [failed] = await readOutput(client(), batch.error_file_id);
    expect([failed?.custom_id, failed?.response?.status_code]).toEqual(['line-3', 422]);
    expect(deaths(await system.status())).toBeLessThanOrEqual(3);
  });

  it('is tried alone when the time of its refusal is over, and convicted', async () => {
    system = await start({ hold_ttl_s: 1 });
    expect(await askPoison()).toBe(422);
    const held = await refused();
    await system.until(isWhole, 60_000);
    await eventually(async () => (await suspects()).some(({ status }) => status === 'accused'), 10_000);
    expect(await askPoison()).toBe(422);
    const found = await eventually(async () =>
      (await suspects()).find(({ status }) => status === 'convicted'),
    );
    expect(found.fingerprint).toBe(held.fingerprint);
    expect(found.crashes.at(-1)?.alone).toBe(true);
    expect(deaths(await system.until(isWhole, 60_000))).toBeLessThanOrEqual(3);
  });

  it('is sent again and again where quarantine is off', async () => {
    system = await start({ enabled: false });
    expect(await askPoison({})).not.toBe(422);
    expect(await suspects()).toEqual([]);
  });
});
