/** `autoglm plan`: how many replicas a load needs, how full they are, and a picture of it; and how a calibration fits. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { answerPlan, calibrate, catalogue, type PlanOptions } from '../assembly/planning/planning.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { NoPlan } from '../contract/planning.ts';
import type { CommandContext } from './command-context.ts';
import { plainTable } from './plain-table.ts';
import { drawPlanSvg } from './plan/picture.ts';
import { describeCalibration, describePlan } from './plan/report.ts';
import type { Terminal } from './terminal.ts';

export interface PlanCommandOptions extends PlanOptions {
  calibrate?: string;
  svg?: string;
  json?: boolean;
  list?: boolean;
}

export async function plan(options: PlanCommandOptions, context: CommandContext): Promise<void> {
  const { terminal, environment, exit } = context;
  const print = (value: unknown, text: () => string) =>
    terminal.print(options.json === true ? JSON.stringify(value, null, 2) : text());
  if (options.list === true) return print(catalogue(), () => describeCatalogue(terminal));
  const file = options.calibrate;
  const calibration = file === undefined ? null : calibrate(resolve(environment.workDir, file), file);
  if (calibration !== null && options.rate === undefined)
    return print({ calibration }, () => describeCalibration(calibration, terminal.colors));
  const answer = answerPlan(options, calibration);
  if (answer.plan.kind === 'impossible') {
    exit(EXIT_CODES.failed.code);
    const refusal = answer.plan;
    return print(answer, () => describeRefusal(refusal, terminal));
  }
  const { plan: found, question } = answer;
  print(answer, () => {
    const fit = calibration === null ? [] : [describeCalibration(calibration, terminal.colors), ''];
    return [...fit, describePlan(question, found, terminal)].join('\n');
  });
  if (options.svg !== undefined) savePicture(drawPlanSvg(question, found), options.svg, context, options);
}

function savePicture(
  picture: string,
  file: string,
  { environment, terminal }: CommandContext,
  { json }: PlanCommandOptions,
): void {
  try {
    writeFileSync(resolve(environment.workDir, file), picture);
  } catch (error) {
    throw new PlatformError('invalid_request', `--svg: ${(error as Error).message}`, { cause: error });
  }
  if (json !== true) terminal.print(`\npicture written to ${file}`);
}

function describeRefusal({ why, remedies }: NoPlan, { colors }: Terminal): string {
  return [
    `${colors.red('no plan:')} ${why}`,
    'what would do:',
    ...remedies.map((remedy) => `  ${colors.bold(remedy)}`),
  ].join('\n');
}

function describeCatalogue({ colors }: Terminal): string {
  const { gpus, models } = catalogue();
  const known = (value: number | null) => (value === null ? '-' : String(value));
  const gpuTable = plainTable(['GPU', 'GIB', 'GB/S', 'BF16', 'FP8', 'INT8', 'SOURCE'], colors);
  for (const { name, memoryGiB, bandwidthGBps, tflops, source } of gpus)
    gpuTable.push([
      name,
      String(memoryGiB),
      String(bandwidthGBps),
      String(tflops.bf16),
      known(tflops.fp8),
      known(tflops.int8),
      source,
    ]);
  const modelTable = plainTable(['MODEL', 'AS IN', 'PARAMS', 'LAYERS', 'HIDDEN', 'KV HEADS'], colors);
  for (const { name, title, params, layers, hidden, kvHeads } of models)
    modelTable.push([
      name,
      title,
      `${(params / 1e9).toPrecision(3)}e9`,
      String(layers),
      String(hidden),
      String(kvHeads),
    ]);
  return [gpuTable.toString(), '', modelTable.toString()].join('\n');
}
