/** The engine that comes with the platform; it speaks the dialect of vLLM, metrics included. */
import { embeddedCapabilities, embeddedDefaultWindow, embeddedLaunch } from './embedded/launch.ts';
import { createHttpEngine } from './http-engine.ts';
import { loadLogRules } from './log-rules.ts';
import { VLLM_METRIC_NAMES } from './vllm/metric-names.ts';

export const embedded = createHttpEngine({
  kind: 'embedded',
  capabilities: embeddedCapabilities,
  defaultWindow: embeddedDefaultWindow,
  healthPath: '/health',
  metricNames: VLLM_METRIC_NAMES,
  launch: embeddedLaunch,
  logRules: () => loadLogRules('embedded'),
});
