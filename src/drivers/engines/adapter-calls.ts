/**
 * LoRA adapters over HTTP: how each engine lists, loads and unloads them, and by which name it is then asked for one. The calls
 * of vLLM and SGLang as of their releases of 2025 and 2026 (`/v1/load_lora_adapter`, `/load_lora_adapter`), of llama-server
 * `/lora-adapters`.
 */
import type { LoraAdapter } from '../../contract/lora.ts';
import type {
  AdapterCalls,
  EngineTarget,
  ListedAdapter,
  ProbeResult,
} from '../../contract/ports/engine-driver.ts';
import { exchange, type ProbeResponse, parseJson, statusText } from './probe-http.ts';

/** Both directions are said in many words; what was asked for is the case. */
const ALREADY = /already (been )?loaded|already exists/i;
const NOT_THERE = /cannot be found|not found|not loaded|does not exist/i;

/** The model's own entry has no parent. */
function listByModels(servedModelOf: (target: EngineTarget, name: string) => string): AdapterCalls['list'] {
  return async (target, _wanted, signal) => {
    const response = await exchange(target, { path: '/v1/models' }, signal);
    const data = dataIn(response);
    if (data === undefined) return { ok: false, detail: detailOf(response) };
    const adapters = data.flatMap((entry): ListedAdapter[] => {
      const { id, parent, root } = (entry ?? {}) as { id?: unknown; parent?: unknown; root?: unknown };
      if (typeof id !== 'string' || typeof parent !== 'string') return [];
      const servedModel = servedModelOf(target, id);
      return [{ name: id, servedModel, ...(typeof root === 'string' && { path: root }) }];
    });
    return { ok: true, adapters };
  };
}

function dataIn(response: ProbeResponse): unknown[] | undefined {
  if ('failure' in response || response.status !== 200) return undefined;
  const { data } = (parseJson(response.body) ?? {}) as { data?: unknown };
  return Array.isArray(data) ? data : undefined;
}

function detailOf(response: ProbeResponse): string {
  return 'failure' in response ? response.failure : statusText(response);
}

function callsAt(
  paths: { load: string; unload: string },
  list: AdapterCalls['list'],
): Required<AdapterCalls> {
  return {
    list,
    load: async (target, { name, path }, signal) =>
      judge(
        await exchange(target, { path: paths.load, body: { lora_name: name, lora_path: path } }, signal),
        ALREADY,
      ),
    unload: async (target, name, signal) =>
      judge(await exchange(target, { path: paths.unload, body: { lora_name: name } }, signal), NOT_THERE),
  };
}

/** `fine`: a refusal that means that there is nothing to do. A path that the engine does not have means something else. */
function judge(response: ProbeResponse, fine: RegExp): ProbeResult {
  if ('failure' in response) return { ok: false, detail: response.failure };
  const detail = statusText(response);
  const isWithoutCalls = response.status === 404 && /"detail"\s*:\s*"Not Found"/.test(response.body);
  if (isWithoutCalls)
    return {
      ok: false,
      detail: `${detail}: the engine takes no adapters while it runs; start it with adapters enabled (vLLM: --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True)`,
    };
  return { ok: response.status === 200 || fine.test(response.body), detail };
}

export const vllmAdapters = callsAt(
  { load: '/v1/load_lora_adapter', unload: '/v1/unload_lora_adapter' },
  listByModels((_target, name) => name),
);

/** SGLang is asked for `<model>:<adapter>`. */
export const sglangAdapters = callsAt(
  { load: '/load_lora_adapter', unload: '/unload_lora_adapter' },
  listByModels(({ servedModel }, name) => `${servedModel}:${name}`),
);

/**
 * llama-server numbers its adapters and is asked for one by a field of the request; it is started with all of them at scale 0,
 * so that requests for the model itself get none.
 */
export const llamaServerAdapters: AdapterCalls = {
  list: async (target, wanted, signal) => {
    const response = await exchange(target, { path: '/lora-adapters' }, signal);
    const entries = 'failure' in response || response.status !== 200 ? undefined : parseJson(response.body);
    if (!Array.isArray(entries)) return { ok: false, detail: detailOf(response) };
    const adapters = wanted.flatMap((adapter) => {
      const found = entries.find((entry) => pathOf(entry) === adapter.path) as { id?: unknown } | undefined;
      return typeof found?.id === 'number' ? [listed(target, adapter, found.id)] : [];
    });
    return { ok: true, adapters };
  },
};

function pathOf(entry: unknown): unknown {
  return (entry as { path?: unknown } | null)?.path;
}

function listed({ servedModel }: EngineTarget, { name, path }: LoraAdapter, id: number): ListedAdapter {
  return { name, path, servedModel, fields: { lora: [{ id, scale: 1 }] } };
}
