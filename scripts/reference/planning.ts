/** The example of `docs/planning.md`, its pictures, and the tables of GPUs; the rest of the page is written by people. */
import { resolve } from 'node:path';
import picocolors from 'picocolors';
import { answerPlan, calibrate, catalogue, type PlanOptions } from '../../src/assembly/planning/planning.ts';
import { drawPlanSvg } from '../../src/cli/plan/picture.ts';
import { describeCalibration, describePlan } from '../../src/cli/plan/report.ts';
import type { Calibration } from '../../src/contract/planning.ts';
import { fillPage, table } from './markdown.ts';
import type { GeneratedPage } from './pages.ts';

const PAGE = 'docs/planning.md';
const MEASURED = 'docs/planning/h100-llama-8b-bf16.csv';
const EXAMPLE: PlanOptions = { rate: '20', prompt: '2000', output: '300', gpu: 'h100', sloTtft: '1s' };

const colors = picocolors.createColors(false);

function planned(calibration: Calibration | null): { report: string; picture: string } {
  const { question, plan } = answerPlan(EXAMPLE, calibration);
  if (plan.kind === 'impossible') throw new Error(plan.why);
  return {
    report: describePlan(question, plan, { colors, columns: 100 }),
    picture: drawPlanSvg(question, plan),
  };
}

const block = (text: string) => `\n\`\`\`text\n${text}\n\`\`\`\n`;

function gpuTable(): string {
  const known = (value: number | null) => (value === null ? '-' : String(value));
  const rows = catalogue().gpus.map(({ name, title, memoryGiB, bandwidthGBps, tflops, source }) => [
    `\`${name}\``,
    title,
    String(memoryGiB),
    String(bandwidthGBps),
    `${tflops.bf16} / ${known(tflops.fp8)} / ${known(tflops.int8)}`,
    source,
  ]);
  return table(['name', 'GPU', 'memory, GiB', 'bandwidth, GB/s', 'TFLOPS bf16 / fp8 / int8', 'source'], rows);
}

export function planningPages(): GeneratedPage[] {
  const calibration = calibrate(resolve(import.meta.dirname, '../..', MEASURED), MEASURED);
  const byDataSheet = planned(null);
  const fit = block(describeCalibration(calibration, colors));
  const text = fillPage(PAGE, { example: block(byDataSheet.report), fit, gpus: gpuTable() });
  return [
    { path: PAGE, text },
    { path: 'docs/planning/example.svg', text: byDataSheet.picture },
    { path: 'docs/planning/example-measured.svg', text: planned(calibration).picture },
  ];
}
