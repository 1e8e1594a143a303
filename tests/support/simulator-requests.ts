/** For tests of the simulator: requests of the load client and of plain HTTP to one of them. */
import { type LoadOptions, type RequestRecord, runLoad } from '../../bench/load-client.ts';
import type { SimulatorUnderTest } from './simulator-under-test.ts';

/** Short steps: these tests look at what comes, not at how fast. */
export const FAST = ['--step-ms', '2', '--model-name', 'm'];

export const MESSAGES = [{ role: 'user', content: 'Tell me a story — über das Meer 🌊' }];

export async function loadSimulator(
  simulator: SimulatorUnderTest,
  options: Partial<LoadOptions> = {},
): Promise<RequestRecord[]> {
  const result = await runLoad({
    url: `${simulator.url}/v1/chat/completions`,
    requests: 1,
    concurrency: 1,
    stream: true,
    body: () => ({ model: 'm', messages: MESSAGES, temperature: 0, max_tokens: 60, ignore_eos: true }),
    requestTimeoutMs: 20_000,
    ...options,
  });
  return result.records;
}

export async function askSimulator(
  simulator: SimulatorUnderTest,
  body: object,
  options: Partial<LoadOptions> = {},
) {
  const [record] = await loadSimulator(simulator, { body: () => ({ model: 'm', ...body }), ...options });
  return record as RequestRecord;
}

export async function postJson(url: string, body: object): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  return response.json();
}

interface StreamEvent {
  choices: {
    delta?: { content?: string };
    text?: string;
    token_ids?: number[];
    prompt_token_ids?: number[];
  }[];
}

/** The events of a stream with content, as they came. */
export async function eventsOf(
  simulator: SimulatorUnderTest,
  path: string,
  body: object,
): Promise<StreamEvent[]> {
  const response = await fetch(simulator.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream: true, temperature: 0, ...body }),
  });
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((frame) => frame.startsWith('data: {'))
    .map((frame) => JSON.parse(frame.slice(6)) as StreamEvent);
}
