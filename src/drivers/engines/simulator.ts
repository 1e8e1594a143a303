/**
 * The pretend engine as a driver. It knows nothing of the simulator's insides: assembly passes in how to start it. The
 * simulator speaks the dialect of vLLM here; as another engine it is started by that engine's driver.
 */
import type { EngineDriver } from '../../contract/ports/engine-driver.ts';
import { vllmAdapters } from './adapter-calls.ts';
import { createHttpEngine, type EngineProfile } from './http-engine.ts';
import { VLLM_METRIC_NAMES } from './vllm/metric-names.ts';
import { vllm } from './vllm.ts';

export type SimulatorParts = Pick<EngineProfile, 'capabilities' | 'defaultWindow'> &
  Required<Pick<EngineProfile, 'launch'>>;

export function createSimulatorDriver(parts: SimulatorParts): EngineDriver {
  const { clearCache, drain, resume, abort } = vllm;
  return createHttpEngine({
    ...parts,
    kind: 'simulator',
    healthPath: '/health',
    metricNames: VLLM_METRIC_NAMES,
    logRules: () => vllm.logRules,
    ...(clearCache !== undefined && { clearCache }),
    ...(drain !== undefined && { drain }),
    ...(resume !== undefined && { resume }),
    ...(abort !== undefined && { abort }),
    adapters: vllmAdapters,
  });
}
