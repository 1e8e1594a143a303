/**
 * Capacity planning: what is asked (`autoglm plan`), what a GPU and a model are to it, and what it answers. Figures that
 * depend on how well an engine uses its GPU come as an estimate with the range that the error of the engine model allows.
 */
import type { StepCosts } from './engine-model.ts';

export const WEIGHT_TYPES = ['bf16', 'fp8', 'int8', 'int4'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

export const CACHE_TYPES = ['bf16', 'fp8', 'int8'] as const;
export type CacheType = (typeof CACHE_TYPES)[number];

export const LENGTHS = ['fixed', 'lognormal'] as const;
export const ARRIVALS = ['poisson', 'even'] as const;
/** Sizes of a group of GPUs that share one model. */
export const TENSOR_PARALLEL = [1, 2, 4, 8] as const;

export interface Gpu {
  name: string;
  title: string;
  /** As the driver reports it, which is less than the name says. */
  memoryGiB: number;
  bandwidthGBps: number;
  /** Dense, with accumulation in 32 bits; null: it has no such units. */
  tflops: { bf16: number; fp8: number | null; int8: number | null };
  /** How the GPUs of one machine reach each other. */
  link: 'fast' | 'pcie';
  source: string;
}

export interface PlannedModel {
  name: string;
  title: string;
  layers: number;
  hidden: number;
  kvHeads: number;
  headDim: number;
  params: number;
  /** Parameters that one token is multiplied by; fewer than all where experts are chosen. */
  activeParams: number;
  /** Parameters of embeddings and output layer, which stay in bf16 when the rest is quantised. */
  embeddingParams: number;
  source: string;
}

/** What clients send. */
export interface Traffic {
  /** Requests per second, over all replicas. */
  rate: number;
  /** Mean tokens. */
  promptTokens: number;
  outputTokens: number;
  lengths: (typeof LENGTHS)[number];
  arrivals: (typeof ARRIVALS)[number];
  /** Share of each prompt that the prefix cache has already, 0..1. */
  prefixHits: number;
}

export interface Objective {
  ttftMs: number;
  /** Null: none. */
  itlMs: number | null;
  /** Both hold for so many of a hundred requests, or gaps between tokens. */
  percentile: number;
}

/** Limits of one engine, by their names in vLLM. */
export interface EngineLimits {
  maxNumSeqs: number;
  maxBatchedTokens: number;
  /** Share of the memory of each GPU that the engine may take. */
  memoryShare: number;
}

export interface PlanQuestion {
  traffic: Traffic;
  objective: Objective;
  gpu: Gpu;
  model: PlannedModel;
  /** GPUs per replica; null: as few as the model fits on. */
  tensorParallel: number | null;
  weights: WeightType;
  cache: CacheType;
  limits: EngineLimits;
  /** Costs that were measured; null: they come from the data sheet. */
  calibration: Calibration | null;
  seed: number;
}

/** One step as it was measured. */
export interface MeasuredStep {
  prefillTokens: number;
  decodeBatch: number;
  decodeContext: number;
  stepMs: number;
}

/** What least squares made of measured steps, and how well it fits them. */
export interface Calibration {
  costs: StepCosts;
  steps: number;
  /** Share of the variance that the model explains. */
  rSquared: number;
  /** Mean absolute error, as a share of the measured time. */
  meanError: number;
  /** Worst step: measured less predicted. */
  worst: MeasuredStep & { predictedMs: number; error: number };
  /** Largest loads that were measured: beyond them the costs are extrapolated. */
  measuredTo: { prefillTokens: number; decodeBatch: number; decodeContext: number };
  /** Costs that the steps say nothing about, because their load never varied. */
  undetermined: (keyof StepCosts)[];
}

/** A figure and its range; null: without bound, the queue grows. */
export interface Estimate {
  expected: number | null;
  best: number | null;
  worst: number | null;
}

export type Bound =
  | 'compute'
  | 'memory-bandwidth'
  | 'kv-capacity'
  | 'max-num-seqs'
  | 'slo-ttft'
  | 'slo-itl'
  | 'none';

export interface MemoryPlan {
  weightsGiB: number;
  /** Per replica. */
  usableGiB: number;
  overheadGiB: number;
  kvGiB: number;
  kvBytesPerToken: number;
  kvTokens: number;
  /** Sequences of mean length that fit at once, and no more than the engine runs. */
  maxSequences: number;
}

/** One size of the fleet, as the table shows it. */
export interface PlannedSize {
  replicas: number;
  /** Share of the capacity at saturation. */
  utilisation: number;
  ttftMs: { p50: number; p99: number; objective: number };
  itlMs: { p50: number; p99: number; objective: number };
  holds: boolean;
}

/** One load of the chosen fleet, for the picture. */
export interface LoadPoint {
  rate: number;
  /** At the percentile of the objective. */
  ttftMs: number;
  holds: boolean;
}

export interface Plan {
  kind: 'plan';
  replicas: Estimate;
  tensorParallel: number;
  gpus: number;
  utilisation: Estimate;
  ttftMs: { p50: Estimate; p99: Estimate };
  itlMs: { p50: Estimate; p99: Estimate };
  /** From arrival to the last token. */
  durationMs: { p50: Estimate; p99: Estimate };
  /** Written by all replicas together. */
  outputTokensPerSecond: number;
  /** That all replicas together could write at saturation. */
  outputTokensPerSecondMax: Estimate;
  /** Highest rate at which the objective holds. */
  rateMax: number;
  memory: MemoryPlan;
  /** Share of the cache that is in use. */
  cacheUsed: { mean: number; peak: number };
  /** Sequences that run at once on a replica. */
  running: { mean: number; peak: number };
  /** Of a hundred requests: how often one had to give up its cache and begin again. */
  preemptionsPercent: number;
  bound: { name: Bound; why: string };
  /** What a quarter more of each would add to the capacity at saturation, as a share. */
  gains: { compute: number; bandwidth: number; cache: number; sequences: number };
  oneLost: { replicas: number; holds: boolean; utilisation: number; ttftMs: number | null; advice: string };
  sizes: PlannedSize[];
  loads: LoadPoint[];
  costs: StepCosts;
  /** Share by which a step may be shorter or longer than the model says, and why. */
  error: { shorter: number; longer: number; why: string; measured: boolean };
  warnings: string[];
}

/** No number of replicas does it, or the model fits on no group of GPUs. */
export interface NoPlan {
  kind: 'impossible';
  why: string;
  remedies: string[];
}
