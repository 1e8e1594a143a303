/**
 * Load and memory of GPUs as NVIDIA's DCGM exporter publishes them
 * (https://docs.nvidia.com/datacenter/dcgm/latest/gpu-telemetry/dcgm-exporter.html): `DCGM_FI_DEV_GPU_UTIL` in percent,
 * `DCGM_FI_DEV_FB_USED` and `DCGM_FI_DEV_FB_FREE` in MiB, one sample for each GPU.
 */
import { parsePrometheusText, sumOf } from './parse.ts';

/** Over all GPUs of the exporter; NaN: it does not say. */
export interface GpuGauges {
  /** Mean, 0 to 1. */
  gpuLoad: number;
  /** Of all memory together, 0 to 1. */
  memoryUsage: number;
}

const UTILISATION = 'DCGM_FI_DEV_GPU_UTIL';

export function gpuGauges(text: string): GpuGauges {
  const samples = parsePrometheusText(text);
  const loads = samples.filter(({ name }) => name === UTILISATION).map(({ value }) => value);
  const used = sumOf(samples, ['DCGM_FI_DEV_FB_USED']) ?? Number.NaN;
  const free = sumOf(samples, ['DCGM_FI_DEV_FB_FREE']) ?? Number.NaN;
  const load = loads.reduce((sum, value) => sum + value, 0) / loads.length;
  return { gpuLoad: ratio(load / 100), memoryUsage: ratio(used / (used + free)) };
}

function ratio(value: number): number {
  return Math.min(1, Math.max(0, value));
}
