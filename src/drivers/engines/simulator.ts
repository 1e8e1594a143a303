/** The pretend engine as a driver. A driver knows nothing of the simulator's insides: assembly passes in how to start it. */
import type { EngineDriver } from '../../contract/ports/engine-driver.ts';
import { vllmAdapters } from './adapter-calls.ts';
import { VLLM_METRIC_NAMES } from './engine-metrics.ts';
import { createHttpEngine, type EngineProfile } from './http-engine.ts';

export type SimulatorParts = Pick<EngineProfile, 'capabilities' | 'defaultWindow'> &
  Required<Pick<EngineProfile, 'launch'>>;

export function createSimulatorDriver(parts: SimulatorParts): EngineDriver {
  return createHttpEngine({
    ...parts,
    kind: 'simulator',
    healthPath: '/health',
    metricNames: VLLM_METRIC_NAMES,
    adapters: vllmAdapters,
  });
}
