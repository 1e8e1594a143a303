/**
 * One entry of `models`, given without a file: checked by the same schema and rules as in one, with the same words, only that
 * paths begin at the entry. Called for models that are loaded at run time.
 */
import { createHash } from 'node:crypto';
import type { Config } from '../../contract/config-schema.ts';
import { type ModelConfig, modelSchema } from '../../contract/model-schema.ts';
import { type ConfigPath, type ConfigProblem, configError, showPath } from './config-problem.ts';
import { checkConfigRules } from './config-rules.ts';
import { explainIssue } from './explain-issue.ts';

/** Keys whose values are never printed. */
export function isSecretPath(path: ConfigPath): boolean {
  if (path[0] === 'redis' && path.at(-1) === 'url') return true;
  return path.at(-1) === 'key' || path.at(-1) === 'api_key' || path.includes('env');
}

/** Throws PlatformError `config_invalid` with a line for each problem. */
export function parseModelEntry(value: unknown): ModelConfig {
  const parsed = modelSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const context = { value: { models: [value] }, isSecret: isSecretPath };
  const problems = parsed.error.issues.flatMap((issue) =>
    explainIssue({ ...issue, path: ['models', 0, ...issue.path] }, context),
  );
  throw configError(problems.map((problem) => showAtEntry(problem, 0)));
}

/** Problems that the models have with each other and with the limits; `index` is the entry that is spoken about. */
export function requireModelRules(config: Config, index: number): void {
  const problems = modelProblems(config);
  if (problems.length > 0) throw configError(problems.map((problem) => showAtEntry(problem, index)));
}

export function modelProblems(config: Config): ConfigProblem[] {
  const context = { environmentKeys: 0, written: () => true, modelsMayBeGone: true };
  return checkConfigRules(config, context).filter(({ path }) => path[0] === 'models');
}

function showAtEntry({ path, message }: ConfigProblem, index: number): string {
  const own = path[0] === 'models' && path[1] === index;
  const shown = own ? path.slice(2) : path;
  return shown.length === 0 ? message : `${showPath(shown)}: ${message}`;
}

const HASH_DIGITS = 16;

/** Changes when the entry of the file says something else. */
export function entryHash({ api_key, ...rest }: ModelConfig): string {
  const keys = rest.urls?.map((entry) => (typeof entry === 'string' ? undefined : entry.api_key?.reveal()));
  const text = JSON.stringify([Object.entries(rest).sort(), api_key?.reveal(), keys]);
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS);
}
