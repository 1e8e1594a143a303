/** What to change where there is no plan: the model does not fit, or the objective is out of reach. Each remedy was tried. */
import {
  type NoPlan,
  type PlanQuestion,
  TENSOR_PARALLEL,
  WEIGHT_TYPES,
  type WeightType,
} from '../../contract/planning.ts';
import { costsByDataSheet, type Deployment, planMemory, weightBytes } from './first-principles.ts';
import { GPUS } from './gpus.ts';
import { BLOCK_TOKENS } from './planned-engine.ts';
import { longestTokens } from './request-source.ts';
import { type Measured, Sizing } from './sizing.ts';

type Change = Partial<Pick<PlanQuestion, 'gpu' | 'weights'>> & { tensorParallel: number };

function fits(question: PlanQuestion, change: Change): boolean {
  const { gpu, model, weights, cache, limits, traffic } = { ...question, ...change };
  const deployment = { gpu, model, weights, cache, limits, tensorParallel: change.tensorParallel };
  const memory = planMemory(deployment, traffic.promptTokens + traffic.outputTokens);
  return memory.kvTokens >= longestTokens(traffic) + BLOCK_TOKENS;
}

const smallestFit = (question: PlanQuestion, change: Omit<Change, 'tensorParallel'>) =>
  TENSOR_PARALLEL.find((tensorParallel) => fits(question, { ...change, tensorParallel }));

export function withoutRoom(question: PlanQuestion): NoPlan {
  const { gpu, model, weights, cache, limits, traffic, tensorParallel } = question;
  const size = tensorParallel ?? TENSOR_PARALLEL.at(-1)!;
  const deployment = { gpu, model, weights, cache, limits, tensorParallel: size };
  const memory = planMemory(deployment, traffic.promptTokens + traffic.outputTokens);
  const gib = (value: number) => `${value.toFixed(1)} GiB`;
  const longest = longestTokens(traffic);
  const room = `${size} x ${gpu.name} leave ${gib(memory.usableGiB - memory.overheadGiB)} of ${gib(gpu.memoryGiB * size)}`;
  const sequence = (longest * memory.kvBytesPerToken) / 2 ** 30;
  return {
    kind: 'impossible',
    why:
      `${model.title} in ${weights} needs ${gib(memory.weightsGiB)} for its weights and ${gib(sequence)} for one ` +
      `sequence of ${longest} tokens; ${room}`,
    remedies: roomRemedies(question, weights),
  };
}

function roomRemedies(question: PlanQuestion, weights: WeightType): string[] {
  const remedies: string[] = [];
  if (question.tensorParallel !== null) {
    const size = smallestFit(question, {});
    if (size !== undefined) remedies.push(`--tp ${size}`);
  }
  const size = question.tensorParallel ?? TENSOR_PARALLEL.at(-1)!;
  const bytes = (type: WeightType) => weightBytes(question.model, type);
  const smaller = WEIGHT_TYPES.filter((type) => bytes(type) < bytes(weights)).find((type) =>
    fits(question, { weights: type, tensorParallel: size }),
  );
  if (smaller !== undefined) remedies.push(`--dtype ${smaller}`);
  const larger = GPUS.filter(({ name }) => name !== 'cpu' && name !== question.gpu.name)
    .filter(({ memoryGiB }) => memoryGiB > question.gpu.memoryGiB)
    .sort((a, b) => a.memoryGiB - b.memoryGiB)
    .map((gpu) => ({ gpu, tensorParallel: smallestFit(question, { gpu }) }))
    .find(({ tensorParallel }) => tensorParallel !== undefined);
  if (larger !== undefined)
    remedies.push(
      `--gpu ${larger.gpu.name}${larger.tensorParallel === 1 ? '' : ` --tp ${larger.tensorParallel}`}`,
    );
  if (remedies.length === 0) remedies.push('a smaller --model, or shorter --prompt and --output');
  return remedies;
}

const BUDGETS = [4096, 2048, 1024, 512, 256];

/** @param many a fleet with much more than the load needs. */
export function unreachable(question: PlanQuestion, deployment: Deployment, many: Measured): NoPlan {
  const { objective, gpu } = question;
  const { percentile, ttftMs, itlMs } = objective;
  const isGap = many.missed === 'slo-itl';
  const found = (isGap ? many.run.itl : many.run.ttft).percentile(percentile);
  const what = isGap
    ? `gap between tokens: p${percentile} is ${found.toFixed(1)} ms, wanted ${itlMs}`
    : `time to first token: p${percentile} is ${Math.round(found)} ms, wanted ${ttftMs}`;
  return {
    kind: 'impossible',
    why: `more replicas do not help: ${many.replicas} x ${gpu.name} stand nearly idle, and still the ${what}`,
    remedies: [
      ...slowRemedies(question, deployment),
      isGap ? `--slo-itl ${Math.ceil(found * 1.1)}ms` : `--slo-ttft ${Math.ceil(found * 1.1)}ms`,
    ],
  };
}

/** Measured costs hold for one deployment only, so that another one can not be tried with them. */
function slowRemedies(question: PlanQuestion, deployment: Deployment): string[] {
  const remedies: string[] = [];
  const smaller = BUDGETS.filter((tokens) => tokens < deployment.limits.maxBatchedTokens).find(
    (maxBatchedTokens) =>
      holdsIdle(question, { ...deployment, limits: { ...deployment.limits, maxBatchedTokens } }),
  );
  if (smaller !== undefined) remedies.push(`--max-batched-tokens ${smaller}`);
  if (question.calibration !== null) return remedies;
  const wider = TENSOR_PARALLEL.filter((size) => size > deployment.tensorParallel).find((tensorParallel) =>
    holdsIdle(question, { ...deployment, tensorParallel }),
  );
  if (wider !== undefined) remedies.push(`--tp ${wider}`);
  const faster = GPUS.find(
    (gpu) =>
      gpu.bandwidthGBps > deployment.gpu.bandwidthGBps &&
      fits(question, { gpu, tensorParallel: deployment.tensorParallel }) &&
      holdsIdle(question, { ...deployment, gpu }),
  );
  if (faster !== undefined) remedies.push(`--gpu ${faster.name}`);
  return remedies;
}

function holdsIdle(question: PlanQuestion, deployment: Deployment): boolean {
  const { traffic, objective, seed, calibration } = question;
  const memory = planMemory(deployment, traffic.promptTokens + traffic.outputTokens);
  const shape = {
    costs: calibration?.costs ?? costsByDataSheet(deployment, 'expected'),
    maxNumSeqs: deployment.limits.maxNumSeqs,
    maxBatchedTokens: deployment.limits.maxBatchedTokens,
    kvBlocks: Math.floor(memory.kvTokens / BLOCK_TOKENS),
  };
  const sizing = new Sizing({ shape, traffic, objective, places: memory.maxSequences, seed });
  return sizing.at(sizing.least * 8).missed === null;
}
