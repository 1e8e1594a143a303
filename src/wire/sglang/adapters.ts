/**
 * LoRA adapters as SGLang serves them: requests name one as `<model>:<adapter>`, and two calls load and unload them while it
 * runs. Both answer with what is loaded, or with 400 and the reason (srt/entrypoints/http_server.py, srt/lora/lora_registry.py).
 */
import { textFrom } from '../json/scalars.ts';
import type { AdapterShelf } from '../vllm/adapters.ts';
import { bodyOf } from '../vllm/dev-calls.ts';
import type { Read } from '../vllm/dialect-variant.ts';
import { sendJson } from '../vllm/send-json.ts';

/** What stands behind the first colon. */
export function sglangAdapterOf(model: string): string | undefined {
  const colon = model.indexOf(':');
  return colon < 0 ? undefined : model.slice(colon + 1);
}

export function sglangAdapterCalls(shelf: AdapterShelf): Record<string, Read> {
  const call =
    (change: (name: string, path: string) => string | null): Read =>
    async (exchange) => {
      const { lora_name: name, lora_path: path } = await bodyOf(exchange);
      const problem = change(textFrom(name), textFrom(path));
      if (problem === null) return sendJson(exchange, { success: true, loaded_adapters: shelf.paths });
      sendJson(exchange, { success: false, error_message: problem, loaded_adapters: shelf.paths }, 400);
    };
  return {
    '/load_lora_adapter': call((name, path) => {
      const added = shelf.add(name, path);
      if (added === 'added') return null;
      const why =
        added === 'there already'
          ? `LoRA adapter ${name} is already loaded.`
          : `Can't find 'adapter_config.json' at '${path}'`;
      return `Failed to load LoRA adapter ${name}. ${why}`;
    }),
    '/unload_lora_adapter': call((name) =>
      shelf.remove(name)
        ? null
        : `LoRA adapter with name ${name} does not exist. Loaded LoRA adapters: ${Object.keys(shelf.paths).join(', ')}`,
    ),
  };
}
