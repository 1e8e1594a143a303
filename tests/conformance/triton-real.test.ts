/**
 * The same promises asked of a Triton that runs somewhere: TRITON_OPENAI, TRITON_KSERVE_HTTP and TRITON_KSERVE_GRPC hold addresses
 * (such as http://gpu:8000), TRITON_MODEL the name in its repository, TRITON_CHAT_TEMPLATE what `chat_template` takes, TRITON_KEY a
 * key where one is wanted. Skipped for each protocol without an address. `npm run conformance -- --engine triton` sets them:
 *
 *   npm run conformance -- --engine triton --protocol kserve-grpc --url grpc://gpu:8001 --model ensemble
 */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineProtocol } from '../../src/contract/fleet.ts';
import { type SystemUnderTest, startSystem } from '../support/system-under-test.ts';

const { TRITON_OPENAI, TRITON_KSERVE_HTTP, TRITON_KSERVE_GRPC } = process.env;
const { TRITON_MODEL, TRITON_CHAT_TEMPLATE, TRITON_KEY } = process.env;

const ADDRESSES: readonly (readonly [EngineProtocol, string | undefined])[] = [
  ['openai', TRITON_OPENAI],
  ['kserve-http', TRITON_KSERVE_HTTP],
  ['kserve-grpc', TRITON_KSERVE_GRPC],
];

for (const [protocol, address] of ADDRESSES) {
  const why = `no address in TRITON_${protocol.toUpperCase().replaceAll('-', '_')}`;
  describe.skipIf(address === undefined)(
    `a Triton over ${protocol}${address === undefined ? ` (${why})` : ''}`,
    () => {
      let system: SystemUnderTest;
      let client: OpenAI;
      const model = TRITON_MODEL ?? 'model';

      beforeAll(async () => {
        const template = protocol === 'openai' ? {} : { chat_template: TRITON_CHAT_TEMPLATE ?? 'plain' };
        const key = TRITON_KEY === undefined ? {} : { api_key: TRITON_KEY };
        const urls = [address as string];
        system = await startSystem({
          models: [{ model_name: model, engine: 'triton', protocol, urls, ...template, ...key }],
        });
        client = new OpenAI({ baseURL: system.v1(), apiKey: 'none', maxRetries: 0 });
      });
      afterAll(() => system?.stop());

      it('is ready by the whole ladder, and answers whole and streamed alike', async () => {
        const request = { model, prompt: 'The capital of France is', max_tokens: 24, temperature: 0 };
        const whole = await client.completions.create(request);
        expect(whole.choices[0]?.text.length).toBeGreaterThan(0);
        let text = '';
        let finish: string | null = null;
        for await (const event of await client.completions.create({ ...request, stream: true })) {
          text += event.choices[0]?.text ?? '';
          finish = event.choices[0]?.finish_reason ?? finish;
        }
        expect(text).toBe(whole.choices[0]?.text);
        expect(finish).toBe(whole.choices[0]?.finish_reason);
      });

      it('chats, and counts what it used', async () => {
        const messages = [{ role: 'user' as const, content: 'Say hello.' }];
        const chat = await client.chat.completions.create({
          model,
          messages,
          max_tokens: 16,
          temperature: 0,
        });
        expect(chat.choices[0]?.message.content?.length).toBeGreaterThan(0);
        expect(chat.usage?.completion_tokens ?? 1).toBeGreaterThan(0);
      });

      it('frees the slot of a client that left', async () => {
        const controller = new AbortController();
        const stream = await client.completions.create(
          { model, prompt: 'Count from one to ten thousand:', max_tokens: 2_000, stream: true },
          { signal: controller.signal },
        );
        for await (const _event of stream) break;
        controller.abort();
        await system.until(({ pools }) => pools[0]?.replicas[0]?.inFlight === 0);
      });
    },
  );
}
