/**
 * What the environment says in place of the file: AUTOGLM_HOST and AUTOGLM_MODEL, which `autoglm serve --host` and `--model`
 * set. (PORT is read where the number is used.) Problems with such a value name the variable and not a place in the file.
 */
import { basename } from 'node:path';
import { BUILTIN_MODEL_NAME } from '../../contract/builtin-model.ts';
import { isModelAddress } from '../../drivers/engines/embedded/model-address.ts';
import type { ConfigProblem } from './config-problem.ts';
import type { Environment } from './environment.ts';
import { locatePath } from './locate-path.ts';

const PLACES = { host: ['gateway', 'host'], model: ['models'] } as const;

/** Changes `document`, which is plain data; one that is no map is left to the schema. */
export function overrideByEnvironment(document: unknown, environment: Environment): (keyof typeof PLACES)[] {
  const { AUTOGLM_HOST: host, AUTOGLM_MODEL: model } = environment.variables;
  if (!isRecord(document)) return [];
  const overridden: (keyof typeof PLACES)[] = [];
  const gateway = document.gateway ?? {};
  if (host && isRecord(gateway)) {
    document.gateway = { ...gateway, host };
    overridden.push('host');
  }
  if (model) {
    if (model === BUILTIN_MODEL_NAME) delete document.models;
    else document.models = [entryOf(model, environment)];
    overridden.push('model');
  }
  return overridden;
}

/** Problems at what was overridden, told as those of the variable. */
export function named(problem: ConfigProblem, overridden: readonly (keyof typeof PLACES)[]): ConfigProblem {
  const key = overridden.find((one) => PLACES[one].every((step, index) => problem.path[index] === step));
  if (key === undefined) return problem;
  return { ...problem, from: `environment variable AUTOGLM_${key.toUpperCase()} (or --${key})` };
}

/** Two replicas, so that one may die, as with the built-in model. */
function entryOf(model: string, environment: Environment): Record<string, unknown> {
  const isAddress = isModelAddress(model);
  return {
    model_name: nameOf(model) || model,
    engine: 'embedded',
    model: isAddress
      ? model
      : locatePath(model, { baseDir: environment.workDir, homeDir: environment.homeDir }),
    replicas: 2,
  };
}

/** Of `./models/qwen-q4.gguf`: qwen-q4; of `hf:user/repository:Q4_K_M`: repository. */
function nameOf(model: string): string {
  const place = model.replace(/^(hf|huggingface):(\/\/)?/i, '').replace(/[?#].*$/, '');
  const isFile = /\.gguf$/i.test(place);
  return isFile ? basename(place).replace(/\.gguf$/i, '') : basename(place.replace(/:[^/:]*$/, ''));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
