/** Makes a planning question of what was written on the command line; every error names the option, what was found and what is right. */
import { PlatformError } from '../../contract/errors.ts';
import {
  ARRIVALS,
  CACHE_TYPES,
  type Gpu,
  LENGTHS,
  type PlannedModel,
  type PlanQuestion,
  TENSOR_PARALLEL,
  WEIGHT_TYPES,
} from '../../contract/planning.ts';
import { GPUS } from '../../decide/planning/gpus.ts';
import { LANGUAGE_MODELS } from '../../decide/planning/language-models.ts';
import { nearest } from '../config/did-you-mean.ts';

/** As commander hands them over. */
export interface PlanOptions {
  rate?: string;
  prompt?: string;
  output?: string;
  gpu?: string;
  model?: string;
  tp?: string;
  dtype?: string;
  kvDtype?: string;
  sloTtft?: string;
  sloItl?: string;
  percentile?: string;
  distribution?: string;
  arrivals?: string;
  prefixHits?: string;
  maxNumSeqs?: string;
  maxBatchedTokens?: string;
  memoryShare?: string;
  seed?: string;
}

export function readQuestion(options: PlanOptions): Omit<PlanQuestion, 'calibration'> {
  return {
    traffic: {
      rate: readNumber('--rate', options.rate ?? missing('--rate', 'requests per second'), 0.001, 100_000),
      promptTokens: readCount('--prompt', options.prompt ?? missing('--prompt', 'tokens'), 1_000_000),
      outputTokens: readCount('--output', options.output ?? missing('--output', 'tokens'), 100_000),
      lengths: readChoice('--distribution', options.distribution ?? 'lognormal', LENGTHS),
      arrivals: readChoice('--arrivals', options.arrivals ?? 'poisson', ARRIVALS),
      prefixHits: readNumber('--prefix-hits', options.prefixHits ?? '0', 0, 0.99),
    },
    objective: {
      ttftMs: readDuration('--slo-ttft', options.sloTtft ?? '1s'),
      itlMs: options.sloItl === undefined ? null : readDuration('--slo-itl', options.sloItl),
      percentile: readNumber('--percentile', options.percentile ?? '99', 50, 99.9),
    },
    gpu: readGpu(options.gpu ?? missing('--gpu', 'see `autoglm plan --list`')),
    model: readModel(options.model ?? '8b'),
    tensorParallel: options.tp === undefined ? null : readTensorParallel(options.tp),
    weights: readChoice('--dtype', options.dtype ?? 'bf16', WEIGHT_TYPES),
    cache: readChoice('--kv-dtype', options.kvDtype ?? 'bf16', CACHE_TYPES),
    limits: {
      maxNumSeqs: readCount('--max-num-seqs', options.maxNumSeqs ?? '256', 4096),
      maxBatchedTokens: readCount('--max-batched-tokens', options.maxBatchedTokens ?? '8192', 1_000_000),
      memoryShare: readNumber('--memory-share', options.memoryShare ?? '0.9', 0.1, 1),
    },
    seed: readCount('--seed', options.seed ?? '1', 0xffff_ffff),
  };
}

function wrong(name: string, found: string, right: string): PlatformError {
  return new PlatformError('invalid_request', `${name}: found "${found}"; would be right: ${right}`);
}

function missing(name: string, what: string): never {
  throw new PlatformError('invalid_request', `${name} is missing: ${what}`);
}

function readNumber(name: string, text: string, least: number, most: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= least && value <= most) return value;
  throw wrong(name, text, `a number from ${least} to ${most}`);
}

function readCount(name: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw wrong(name, text, `an integer from 1 to ${most}`);
}

function readChoice<Choice extends string>(name: string, text: string, choices: readonly Choice[]): Choice {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw wrong(name, text, choices.join(', '));
  return found;
}

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000 };

function readDuration(name: string, text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text) ?? [];
  const value = Number(amount) * (UNITS_MS[unit ?? ''] ?? Number.NaN);
  if (value > 0 && value <= 600_000) return value;
  throw wrong(name, text, 'a time with its unit, up to 600s, such as 800ms or 1.5s');
}

function readTensorParallel(text: string): number {
  const found = TENSOR_PARALLEL.find((size) => String(size) === text);
  if (found === undefined) throw wrong('--tp', text, TENSOR_PARALLEL.join(', '));
  return found;
}

function readGpu(text: string): Gpu {
  if (text.includes('=')) return describedGpu(readFields('--gpu', text, GPU_FIELDS));
  const found = GPUS.find(({ name }) => name === text.toLowerCase());
  if (found === undefined) throw unknownName('--gpu', text, GPUS, 'memory=48,bandwidth=864,tflops=362');
  return found;
}

function readModel(text: string): PlannedModel {
  if (text.includes('=')) return describedModel(readFields('--model', text, MODEL_FIELDS));
  const wanted = text.toLowerCase();
  const found = LANGUAGE_MODELS.find(({ name, title }) => name === wanted || title.toLowerCase() === wanted);
  if (found === undefined)
    throw unknownName('--model', text, LANGUAGE_MODELS, 'params=13b,layers=40,hidden=5120,kv-heads=40');
  return found;
}

function unknownName(option: string, text: string, known: readonly { name: string }[], example: string) {
  const names = known.map(({ name }) => name);
  const meant = nearest(text, names);
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  return wrong(option, text, `${names.join(', ')}, or a description such as ${example}${hint}`);
}

interface Field {
  isNeeded: boolean;
  least: number;
  most: number;
}

const needed = (least: number, most: number): Field => ({ isNeeded: true, least, most });
const optional = (least: number, most: number): Field => ({ isNeeded: false, least, most });

/** GiB, GB/s, TFLOPS. */
const GPU_FIELDS: Record<string, Field> = {
  memory: needed(1, 10_000),
  bandwidth: needed(1, 1_000_000),
  tflops: needed(0.01, 1_000_000),
  fp8: optional(0.01, 1_000_000),
  int8: optional(0.01, 1_000_000),
};

const MODEL_FIELDS: Record<string, Field> = {
  params: needed(1e6, 1e13),
  layers: needed(1, 1000),
  hidden: needed(16, 1_000_000),
  'kv-heads': needed(1, 1024),
  'head-dim': optional(8, 1024),
  active: optional(1e6, 1e13),
};

/** name=value pairs; values may end in k, m or b. */
function readFields(option: string, text: string, fields: Record<string, Field>): Map<string, number> {
  const values = new Map<string, number>();
  for (const pair of text.split(',')) {
    const [name = '', value = ''] = pair.split('=', 2);
    const field = fields[name];
    if (field === undefined)
      throw wrong(`${option} ${name}`, pair, `one of ${Object.keys(fields).join(', ')}`);
    values.set(name, readNumber(`${option} ${name}`, withoutSuffix(value), field.least, field.most));
  }
  const absent = Object.keys(fields).filter((name) => fields[name]!.isNeeded && !values.has(name));
  if (absent.length > 0) throw wrong(option, text, `also ${absent.map((name) => `${name}=…`).join(', ')}`);
  return values;
}

const SUFFIXES: Record<string, number> = { k: 1e3, m: 1e6, b: 1e9 };

function withoutSuffix(text: string): string {
  const factor = SUFFIXES[text.slice(-1).toLowerCase()];
  return factor === undefined ? text : String(Number(text.slice(0, -1)) * factor);
}

function describedGpu(values: Map<string, number>): Gpu {
  return {
    name: 'gpu',
    title: 'GPU as described',
    memoryGiB: values.get('memory')!,
    bandwidthGBps: values.get('bandwidth')!,
    tflops: {
      bf16: values.get('tflops')!,
      fp8: values.get('fp8') ?? null,
      int8: values.get('int8') ?? null,
    },
    link: 'pcie',
    source: 'the command line',
  };
}

function describedModel(values: Map<string, number>): PlannedModel {
  const params = values.get('params')!;
  return {
    name: 'model',
    title: 'model as described',
    layers: values.get('layers')!,
    hidden: values.get('hidden')!,
    kvHeads: values.get('kv-heads')!,
    headDim: values.get('head-dim') ?? 128,
    params,
    activeParams: values.get('active') ?? params,
    embeddingParams: 0,
    source: 'the command line',
  };
}
