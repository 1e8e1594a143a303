/**
 * What a step costs by the data sheet of the GPU and the shape of the model, where nobody has measured it: weights and cache
 * are read at a share of the bandwidth, tokens are multiplied at a share of the throughput. The shares differ between engines,
 * kernels and loads, so each cost comes three times: as expected, at best and at worst.
 */
import type { StepCosts } from '../../contract/engine-model.ts';
import type {
  CacheType,
  EngineLimits,
  Gpu,
  MemoryPlan,
  PlannedModel,
  WeightType,
} from '../../contract/planning.ts';

export type Outlook = 'best' | 'expected' | 'worst';

interface Shares {
  /** Of the dense throughput, in prefill. */
  compute: number;
  /** Of the bandwidth. */
  bandwidth: number;
  /** Of the ideal speed-up by sharing a model: GPUs wait for each other twice per layer. */
  parallel: Record<Gpu['link'], number>;
  /** Launching kernels, scheduling, sampling: per step. */
  launchMs: number;
  /** And per sequence of it. */
  sequenceMs: number;
}

/** Where they come from: docs/planning.md. */
const SHARES: Record<Outlook, Shares> = {
  best: {
    compute: 0.65,
    bandwidth: 0.92,
    parallel: { fast: 0.9, pcie: 0.75 },
    launchMs: 0.5,
    sequenceMs: 0.002,
  },
  expected: {
    compute: 0.5,
    bandwidth: 0.8,
    parallel: { fast: 0.82, pcie: 0.6 },
    launchMs: 1,
    sequenceMs: 0.004,
  },
  worst: {
    compute: 0.35,
    bandwidth: 0.6,
    parallel: { fast: 0.75, pcie: 0.45 },
    launchMs: 2,
    sequenceMs: 0.02,
  },
};

const WEIGHT_BYTES: Record<WeightType, number> = { bf16: 2, fp8: 1, int8: 1, int4: 0.53 };
const CACHE_BYTES: Record<CacheType, number> = { bf16: 2, fp8: 1, int8: 1 };
const GIB = 2 ** 30;
/** Per GPU: driver context, captured graphs, activations of the largest step. */
const OVERHEAD_GIB = 2;

export interface Deployment {
  gpu: Gpu;
  model: PlannedModel;
  tensorParallel: number;
  weights: WeightType;
  cache: CacheType;
  limits: EngineLimits;
}

export function weightBytes({ params, embeddingParams }: PlannedModel, weights: WeightType): number {
  return (params - embeddingParams) * WEIGHT_BYTES[weights] + embeddingParams * WEIGHT_BYTES.bf16;
}

/** Over all GPUs of a replica; heads that are fewer than GPUs are kept more than once. */
export function kvBytesPerToken({ model, cache, tensorParallel }: Deployment): number {
  const copies = Math.max(1, tensorParallel / model.kvHeads);
  return 2 * model.layers * model.kvHeads * model.headDim * CACHE_BYTES[cache] * copies;
}

/** @param meanTokens of a whole sequence. `kvTokens` is 0 where not even the weights fit. */
export function planMemory(deployment: Deployment, meanTokens: number): MemoryPlan {
  const { gpu, model, tensorParallel, weights, limits } = deployment;
  const usableGiB = gpu.memoryGiB * limits.memoryShare * tensorParallel;
  const weightsGiB = weightBytes(model, weights) / GIB;
  const overheadGiB = OVERHEAD_GIB * tensorParallel;
  const kvGiB = Math.max(0, usableGiB - weightsGiB - overheadGiB);
  const bytesPerToken = kvBytesPerToken(deployment);
  const kvTokens = Math.floor((kvGiB * GIB) / bytesPerToken);
  return {
    weightsGiB,
    usableGiB,
    overheadGiB,
    kvGiB,
    kvBytesPerToken: bytesPerToken,
    kvTokens,
    maxSequences: Math.min(limits.maxNumSeqs, Math.floor(kvTokens / meanTokens)),
  };
}

export function costsByDataSheet(deployment: Deployment, outlook: Outlook): StepCosts {
  const { gpu, model, tensorParallel, weights, limits } = deployment;
  const { compute, bandwidth, parallel, launchMs, sequenceMs } = SHARES[outlook];
  const speedUp = tensorParallel === 1 ? 1 : tensorParallel * parallel[gpu.link];
  const bytesPerMs = gpu.bandwidthGBps * 1e6 * bandwidth * speedUp;
  const operationsPerMs = (tflops: number) => tflops * 1e9 * compute * speedUp;
  const readMs = weightBytes(model, weights) / bytesPerMs;
  const multiplied = (params: number) => (2 * params) / operationsPerMs(multiplication(gpu, weights));
  // Of a prompt only the last token goes through the output layer; its embedding is looked up.
  const tokenMs = multiplied(model.activeParams - model.embeddingParams);
  // Attention is computed in bf16, whatever the weights are.
  const squareMs = (2 * model.layers * model.hidden) / operationsPerMs(gpu.tflops.bf16);
  // The arithmetic of a decoding batch hides behind the reading of the weights; what does not, at the largest batch, is spread.
  const beyondReading = Math.max(0, multiplied(model.activeParams) - readMs / limits.maxNumSeqs);
  return {
    c0: readMs + launchMs,
    c1: tokenMs,
    c2: squareMs,
    c3: sequenceMs + beyondReading,
    c4: kvBytesPerToken(deployment) / bytesPerMs,
  };
}

/** Weights of 4 bits are unpacked and multiplied in bf16, and so is what the GPU has no units for. */
function multiplication({ tflops }: Gpu, weights: WeightType): number {
  if (weights === 'fp8') return tflops.fp8 ?? tflops.bf16;
  if (weights === 'int8') return tflops.int8 ?? tflops.bf16;
  return tflops.bf16;
}
