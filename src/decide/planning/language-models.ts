/** Models that plans know, by their size; the shapes stand in the `config.json` that is published with each. */
import type { PlannedModel } from '../../contract/planning.ts';

type Shape = [layers: number, hidden: number, kvHeads: number, headDim: number, vocabulary: number];

interface Row {
  name: string;
  title: string;
  shape: Shape;
  params: number;
  activeParams?: number;
  /** Input and output share one table. */
  tied?: true;
}

const ROWS: readonly Row[] = [
  { name: '0.5b', title: 'Qwen2.5-0.5B', shape: [24, 896, 2, 64, 151_936], params: 0.494e9, tied: true },
  { name: '1b', title: 'Llama-3.2-1B', shape: [16, 2048, 8, 64, 128_256], params: 1.236e9, tied: true },
  { name: '3b', title: 'Llama-3.2-3B', shape: [28, 3072, 8, 128, 128_256], params: 3.213e9, tied: true },
  { name: '7b', title: 'Qwen2.5-7B', shape: [28, 3584, 4, 128, 152_064], params: 7.616e9 },
  { name: '8b', title: 'Llama-3.1-8B', shape: [32, 4096, 8, 128, 128_256], params: 8.03e9 },
  { name: '14b', title: 'Qwen2.5-14B', shape: [48, 5120, 8, 128, 152_064], params: 14.77e9 },
  { name: '32b', title: 'Qwen2.5-32B', shape: [64, 5120, 8, 128, 152_064], params: 32.76e9 },
  {
    name: '8x7b',
    title: 'Mixtral-8x7B',
    shape: [32, 4096, 8, 128, 32_000],
    params: 46.7e9,
    activeParams: 12.9e9,
  },
  { name: '70b', title: 'Llama-3.1-70B', shape: [80, 8192, 8, 128, 128_256], params: 70.55e9 },
  { name: '72b', title: 'Qwen2.5-72B', shape: [80, 8192, 8, 128, 152_064], params: 72.71e9 },
  { name: '405b', title: 'Llama-3.1-405B', shape: [126, 16_384, 8, 128, 128_256], params: 405.9e9 },
];

export const LANGUAGE_MODELS: readonly PlannedModel[] = ROWS.map(
  ({ name, title, shape: [layers, hidden, kvHeads, headDim, vocabulary], params, activeParams, tied }) => ({
    name,
    title,
    layers,
    hidden,
    kvHeads,
    headDim,
    params,
    activeParams: activeParams ?? params,
    embeddingParams: vocabulary * hidden * (tied === true ? 1 : 2),
    source: `config.json of ${title}`,
  }),
);
