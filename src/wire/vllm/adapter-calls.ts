/** The two calls by which vLLM takes LoRA adapters while it runs, over the shelf that holds them. */
import type { AdapterAnswer, AdapterShelf } from './adapters.ts';
import { bodyOf } from './dev-calls.ts';
import type { Read } from './dialect-variant.ts';
import type { Fields } from './request-fields.ts';

export function adapterCalls(shelf: AdapterShelf): Record<string, Read> {
  const calls: Record<string, (fields: Fields) => AdapterAnswer> = {
    '/v1/load_lora_adapter': (fields) => shelf.load(fields),
    '/v1/unload_lora_adapter': (fields) => shelf.unload(fields),
  };
  return Object.fromEntries(
    Object.entries(calls).map(([path, call]) => [
      path,
      async (exchange) => {
        const { status, text } = call(await bodyOf(exchange));
        const type = text.startsWith('{') ? 'application/json' : 'text/plain';
        exchange.send(status, { 'content-type': type }, text);
      },
    ]),
  );
}
