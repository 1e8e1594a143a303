/**
 * Which of LiteLLM's providers can be used here, and how. A provider is usable when it speaks the OpenAI API below an
 * address of the form `origin` or `origin/v1`. Addresses and variables are LiteLLM's own defaults (docs.litellm.ai, providers).
 */
import type { EngineKind } from '../../../contract/fleet.ts';

export interface Provider {
  engine: EngineKind;
  /** Where it is when `api_base` does not say. */
  address?: string;
  /** Environment variables that LiteLLM reads when the file does not say. */
  addressVariable?: string;
  keyVariable?: string;
  /** Without an address LiteLLM would load the model into its own process; here the engine is started instead. */
  startsEngine?: true;
}

export const PROVIDERS: Readonly<Record<string, Provider>> = {
  openai: { engine: 'openai', address: 'https://api.openai.com/v1', keyVariable: 'OPENAI_API_KEY' },
  'text-completion-openai': {
    engine: 'openai',
    address: 'https://api.openai.com/v1',
    keyVariable: 'OPENAI_API_KEY',
  },
  openai_like: { engine: 'openai' },
  custom_openai: { engine: 'openai' },
  litellm_proxy: {
    engine: 'openai',
    addressVariable: 'LITELLM_PROXY_API_BASE',
    keyVariable: 'LITELLM_PROXY_API_KEY',
  },
  hosted_vllm: {
    engine: 'vllm',
    addressVariable: 'HOSTED_VLLM_API_BASE',
    keyVariable: 'HOSTED_VLLM_API_KEY',
  },
  vllm: { engine: 'vllm', startsEngine: true },
  llamafile: { engine: 'llama-server', address: 'http://127.0.0.1:8080/v1' },
  lm_studio: { engine: 'openai', addressVariable: 'LM_STUDIO_API_BASE', keyVariable: 'LM_STUDIO_API_KEY' },
  xinference: { engine: 'openai', addressVariable: 'XINFERENCE_API_BASE' },
  ollama: { engine: 'ollama', address: 'http://127.0.0.1:11434' },
  ollama_chat: { engine: 'ollama', address: 'http://127.0.0.1:11434' },
  mistral: { engine: 'openai', address: 'https://api.mistral.ai/v1', keyVariable: 'MISTRAL_API_KEY' },
  deepseek: { engine: 'openai', address: 'https://api.deepseek.com/v1', keyVariable: 'DEEPSEEK_API_KEY' },
  xai: { engine: 'openai', address: 'https://api.x.ai/v1', keyVariable: 'XAI_API_KEY' },
  together_ai: {
    engine: 'openai',
    address: 'https://api.together.xyz/v1',
    keyVariable: 'TOGETHERAI_API_KEY',
  },
  nvidia_nim: {
    engine: 'openai',
    address: 'https://integrate.api.nvidia.com/v1',
    keyVariable: 'NVIDIA_NIM_API_KEY',
  },
  cerebras: { engine: 'openai', address: 'https://api.cerebras.ai/v1', keyVariable: 'CEREBRAS_API_KEY' },
};

/**
 * Splits `provider/name`. A model without a known provider is OpenAI's, or, with an address of its own, whatever
 * OpenAI-compatible server stands there.
 */
export function providerOf(
  model: string,
  named: string | undefined,
): { provider: string; name: string } | { unknown: string } {
  if (named !== undefined) {
    return named in PROVIDERS ? { provider: named, name: withoutPrefix(model, named) } : { unknown: named };
  }
  const slash = model.indexOf('/');
  if (slash < 0) return { provider: 'openai', name: model };
  const first = model.slice(0, slash);
  return first in PROVIDERS ? { provider: first, name: model.slice(slash + 1) } : { unknown: first };
}

function withoutPrefix(model: string, provider: string): string {
  return model.startsWith(`${provider}/`) ? model.slice(provider.length + 1) : model;
}
