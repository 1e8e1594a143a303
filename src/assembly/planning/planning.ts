/** Capacity planning for the command line: reads question and measurements, and has the planner answer. */
import type { Calibration, Gpu, NoPlan, Plan, PlannedModel, PlanQuestion } from '../../contract/planning.ts';
import { fitCosts } from '../../decide/planning/calibration.ts';
import { GPUS } from '../../decide/planning/gpus.ts';
import { LANGUAGE_MODELS } from '../../decide/planning/language-models.ts';
import { planCapacity } from '../../decide/planning/plan.ts';
import { readMeasuredSteps } from './measured-steps.ts';
import { type PlanOptions, readQuestion } from './plan-question.ts';

export type { PlanOptions } from './plan-question.ts';

export interface Answer {
  question: PlanQuestion;
  plan: Plan | NoPlan;
}

export function answerPlan(options: PlanOptions, calibration: Calibration | null): Answer {
  const question = { ...readQuestion(options), calibration };
  return { question, plan: planCapacity(question) };
}

/** @param name as the user wrote it, for messages. */
export function calibrate(file: string, name: string): Calibration {
  return fitCosts(readMeasuredSteps(file, name));
}

export function catalogue(): { gpus: readonly Gpu[]; models: readonly PlannedModel[] } {
  return { gpus: GPUS, models: LANGUAGE_MODELS };
}
