/** The engine that comes with the platform; it speaks the dialect of vLLM, metrics included. */
import { embeddedCapabilities, embeddedDefaultWindow, embeddedLaunch } from './embedded/launch.ts';
import { ggufQuantizeFault } from './gguf-quantize.ts';
import { createHttpEngine, noTensorParallel } from './http-engine.ts';
import { VLLM_METRIC_NAMES } from './vllm/metric-names.ts';

export const embedded = createHttpEngine({
  kind: 'embedded',
  capabilities: embeddedCapabilities,
  defaultWindow: embeddedDefaultWindow,
  healthPath: '/health',
  metricNames: VLLM_METRIC_NAMES,
  optionFault: (options) => {
    const message = ggufQuantizeFault(options.model, options.quantize);
    if (message !== undefined) return { option: 'quantize', message };
    return noTensorParallel('embedded', options, 'it runs on the processor; `threads` sets how many it uses');
  },
  launch: embeddedLaunch,
});
