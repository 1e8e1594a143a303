/** Every kind of engine that the platform knows: one line each. */
import type { EngineKind } from '../contract/fleet.ts';
import type { EngineDriver } from '../contract/ports/engine-driver.ts';
import { embedded } from '../drivers/engines/embedded.ts';
import { llamaServer } from '../drivers/engines/llama-server.ts';
import { ollama } from '../drivers/engines/ollama.ts';
import { openai } from '../drivers/engines/openai.ts';
import { sglang } from '../drivers/engines/sglang.ts';
import { createSimulatorDriver } from '../drivers/engines/simulator.ts';
import { tgi } from '../drivers/engines/tgi.ts';
import { createTritonDriver } from '../drivers/engines/triton.ts';
import { vllm } from '../drivers/engines/vllm.ts';
import { askGrpc } from '../drivers/kserve/grpc-probes.ts';
import { SIMULATOR_DEFAULT_WINDOW, simulatorCapabilities, simulatorLaunch } from '../simulator/launch.ts';
import { openEngineTransport } from './engine-transport.ts';

const DRIVERS: Record<EngineKind, EngineDriver> = {
  embedded,
  vllm,
  sglang,
  tgi,
  'llama-server': llamaServer,
  ollama,
  triton: createTritonDriver({ openTransport: openEngineTransport, askGrpc }),
  openai,
  simulator: createSimulatorDriver({
    capabilities: simulatorCapabilities,
    defaultWindow: SIMULATOR_DEFAULT_WINDOW,
    launch: simulatorLaunch,
  }),
};

export const engineDrivers: ReadonlyMap<EngineKind, EngineDriver> = new Map(
  Object.values(DRIVERS).map((driver) => [driver.kind, driver]),
);
