/** For tests of models that change while everything runs: what is asked of a system, and what its clients see. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { ModelList, SystemStatus } from '../../src/contract/admin-api.ts';
import type { SystemUnderTest } from './system-under-test.ts';

/** A change of the models, as the admin API is asked for it. */
export async function change(system: SystemUnderTest, method: string, path: string, body: unknown = {}) {
  const response = await fetch(`${system.adminUrl()}/api/v1/models${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as { message?: string; error?: { code: string; message: string } };
  return { status: response.status, answer };
}

/** A change that must be accepted. */
export async function mustChange(
  system: SystemUnderTest,
  method: string,
  path: string,
  body?: unknown,
): Promise<void> {
  const { status, answer } = await change(system, method, path, body);
  expect(status, JSON.stringify(answer)).toBe(200);
}

export async function models(system: SystemUnderTest): Promise<ModelList> {
  return (await fetch(`${system.adminUrl()}/api/v1/models`)).json() as Promise<ModelList>;
}

export const poolOf = ({ pools }: SystemStatus, name: string) => pools.find(({ model }) => model === name);
export const isReady = (name: string, replicas: number) => (status: SystemStatus) =>
  poolOf(status, name)?.ready === replicas && poolOf(status, name)?.total === replicas;
export const pidsOf = (status: SystemStatus, name: string) =>
  (poolOf(status, name)?.replicas ?? []).flatMap(({ pid }) => pid ?? []);

export async function chat(system: SystemUnderTest, model: string, body: object = {}) {
  const response = await fetch(`${system.v1()}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      temperature: 0,
      max_tokens: 40,
      messages: [{ role: 'user', content: 'hi' }],
      ...body,
    }),
  });
  const answer = (await response.json()) as {
    choices?: { message: { content: string } }[];
    error?: { code: string; message: string };
  };
  return { status: response.status, text: answer.choices?.[0]?.message.content, error: answer.error };
}

/** A stream that is read to its end; `begun` resolves with its first text. */
export function openStream(system: SystemUnderTest, model: string, maxTokens: number) {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const whole = (async () => {
    const response = await fetch(`${system.v1()}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        temperature: 0,
        max_tokens: maxTokens,
        ignore_eos: true,
        stream: true,
        messages: [{ role: 'user', content: 'a long story' }],
      }),
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(bytes, { stream: true });
      if (text.includes('"content":"')) resolve();
    }
    return { status: response.status, replica: response.headers.get('x-autoglm-replica'), text };
  })();
  whole.catch(() => {});
  return { begun, whole };
}

export function contentOf(events: string): string {
  return events
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)) as { choices?: { delta?: { content?: string } }[] })
    .map(({ choices }) => choices?.[0]?.delta?.content ?? '')
    .join('');
}

export const everyReady = ({ pools }: SystemStatus) =>
  pools.every(({ ready, total, leaving }) => leaving || (ready === total && total > 0));

/** Each engine process belongs to a replica that `status` shows. */
export async function expectNoStrays(system: SystemUnderTest): Promise<void> {
  const isSettled = async () => {
    const status = await system.status();
    const known = status.pools.flatMap(({ replicas }) => replicas.flatMap(({ pid }) => pid ?? []));
    const engines = system.processes().filter((pid) => commandOf(pid).includes('simulator-process'));
    return engines.every((pid) => known.includes(pid)) && engines.length === known.length;
  };
  const endMs = performance.now() + 45_000;
  while (!(await isSettled())) {
    if (performance.now() > endMs) throw new Error('engines that nobody knows are left');
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
