/** For tests of batches: inputs of so many lines, uploads, and what a batch left, by line. */
import type OpenAI from 'openai';
import { toFile } from 'openai';
import type { Batch } from 'openai/resources/batches';

export interface OutputLine {
  id: string;
  custom_id: string;
  response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  error: { code: string; message: string } | null;
}

export function chatLine(customId: string, body: Record<string, unknown> = {}): string {
  const messages = [{ role: 'user', content: `Question ${customId}` }];
  return JSON.stringify({
    custom_id: customId,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'sim', messages, max_tokens: 5, temperature: 0, ...body },
  });
}

export function chatLines(count: number, body: Record<string, unknown> = {}): string[] {
  return Array.from({ length: count }, (_, index) => chatLine(`line-${index}`, body));
}

export async function uploadInput(
  client: OpenAI,
  text: string | Uint8Array,
  name = 'input.jsonl',
): Promise<string> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const file = await client.files.create({ file: await toFile(bytes, name), purpose: 'batch' });
  return file.id;
}

export async function startBatch(
  client: OpenAI,
  lines: readonly string[],
  endpoint: '/v1/chat/completions' | '/v1/embeddings' | '/v1/completions' = '/v1/chat/completions',
): Promise<Batch> {
  const input = await uploadInput(client, `${lines.join('\n')}\n`);
  return client.batches.create({ input_file_id: input, endpoint, completion_window: '24h' });
}

const OVER = ['completed', 'failed', 'expired', 'cancelled'];

/** Waits until the batch is over, at most `timeoutMs`. Errors on the way are ridden out: a gateway may be away. */
export async function untilOver(client: OpenAI, id: string, timeoutMs = 60_000): Promise<Batch> {
  return untilBatch(client, id, ({ status }) => OVER.includes(status), timeoutMs);
}

export async function untilBatch(
  client: OpenAI,
  id: string,
  holds: (batch: Batch) => boolean,
  timeoutMs = 60_000,
): Promise<Batch> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      const batch = await client.batches.retrieve(id);
      if (holds(batch)) return batch;
      last = `${batch.status} ${JSON.stringify(batch.request_counts)}`;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`batch ${id}: not so within ${timeoutMs} ms; last: ${String(last)}`);
}

export async function readOutput(client: OpenAI, fileId: string | null | undefined): Promise<OutputLine[]> {
  if (fileId === null || fileId === undefined) return [];
  const text = await (await client.files.content(fileId)).text();
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no end');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as OutputLine);
}
