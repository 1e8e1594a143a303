/** The engines that the simulator can pretend to be: dialect, log lines, and what is answered while weights are being loaded. */
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type { LoraAdapter } from '../contract/lora.ts';
import type { HttpExchange } from '../contract/ports/http-exchange.ts';
import type { DialectLog } from '../simulator/engine-log.ts';
import { llamaServerLog } from '../simulator/logs/llama-server.ts';
import { ollamaLog } from '../simulator/logs/ollama.ts';
import { sglangLog } from '../simulator/logs/sglang.ts';
import { tgiLog } from '../simulator/logs/tgi.ts';
import { tritonLog } from '../simulator/logs/triton.ts';
import { vllmLog } from '../simulator/logs/vllm.ts';
import type { SimulatorConfig, SimulatorDialect } from '../simulator/options.ts';
import { llamaServerLoading, llamaServerVariant } from '../wire/llama-server/variant.ts';
import { ollamaVariant } from '../wire/ollama/variant.ts';
import { sglangVariant } from '../wire/sglang/variant.ts';
import { tgiVariant } from '../wire/tgi/variant.ts';
import { AdapterShelf } from '../wire/vllm/adapters.ts';
import { createVllmDialect, type VllmDialect } from '../wire/vllm/dialect.ts';
import type { DialectVariant } from '../wire/vllm/dialect-variant.ts';
import {
  createSimulatedTriton,
  type SimulatedTriton,
  type SimulatedTritonParts,
} from './simulator-triton.ts';

/** What stands behind the port; some engines have further ports. */
export type SimulatedDialect = Pick<VllmDialect, 'handle' | 'drain'> & Partial<SimulatedTriton>;
type DialectParts = SimulatedTritonParts;

export interface SimulatedEngineProfile {
  release: string;
  log: DialectLog;
  /** Undefined: vLLM itself. */
  variant?(config: SimulatorConfig): DialectVariant;
  /** For engines whose native words are not OpenAI's; undefined: vLLM's, with the variant. */
  dialect?(parts: DialectParts): SimulatedDialect;
  /** For engines whose port is open before the weights are there; the others open it then. */
  whileLoading?(exchange: HttpExchange, loaded: Promise<void>, answer: () => void): void;
}

export const SIMULATED_ENGINES: Record<SimulatorDialect, SimulatedEngineProfile> = {
  vllm: { release: '0.33.0+simulated', log: vllmLog },
  sglang: { release: '0.5.23+simulated', log: sglangLog, variant: ({ metrics }) => sglangVariant(metrics) },
  tgi: { release: '3.3.6+simulated', log: tgiLog, variant: () => tgiVariant },
  'llama-server': {
    release: 'b11434-simulated',
    log: llamaServerLog,
    variant: ({ limits, metrics, controlCalls }) =>
      llamaServerVariant({ slots: limits.maxNumSeqs, metrics, slotActions: controlCalls }),
    whileLoading: (exchange) => llamaServerLoading(exchange),
  },
  ollama: {
    release: '0.14.0+simulated',
    log: ollamaLog,
    variant: () => ollamaVariant,
    // Its lists answer at once; what needs the model waits until it is loaded.
    whileLoading: (exchange, loaded, answer) => {
      if (exchange.method === 'POST') void loaded.then(answer);
      else answer();
    },
  },
  triton: { release: '2.62.0+simulated', log: tritonLog, dialect: createSimulatedTriton },
};

export function openDialect(
  { release, variant, dialect }: SimulatedEngineProfile,
  parts: DialectParts,
): SimulatedDialect {
  if (dialect !== undefined) return dialect(parts);
  const { core, config, clock } = parts;
  return createVllmDialect({
    core,
    clock,
    release,
    devMode: config.dialect === 'vllm' && config.controlCalls,
    ...(variant !== undefined && { variant: variant(config) }),
    ...(config.apiKey !== undefined && { apiKey: config.apiKey }),
    ...(config.adapters !== undefined && { adapters: adapterShelf(config.adapters) }),
  });
}

/** Names of a hub are taken as they are; a path must be there. */
function adapterShelf(adapters: readonly LoraAdapter[]): AdapterShelf {
  return new AdapterShelf({ adapters, exists: (path) => !isAbsolute(path) || existsSync(path) });
}
