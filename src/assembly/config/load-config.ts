/**
 * From what the user wrote to the validated form with every default filled: find, read, parse, substitute, validate, check
 * rules. Throws one PlatformError `config_invalid` that lists every problem with its place. Called by `serve`, by the node
 * process and by the commands that only look.
 */
import { readFileSync } from 'node:fs';
import { type Config, configSchema } from '../../contract/config-schema.ts';
import { PlatformError } from '../../contract/errors.ts';
import { type ConfigDocument, parseConfigDocument } from './config-document.ts';
import { type ConfigPath, type ConfigProblem, configError, showPath, showProblem } from './config-problem.ts';
import { checkConfigRules, usesRedis } from './config-rules.ts';
import { coerce, inOrder, substituteAll } from './document-values.ts';
import type { Environment } from './environment.ts';
import { named, overrideByEnvironment } from './environment-overrides.ts';
import { environmentRedisUrl, readEnvironmentSettings } from './environment-settings.ts';
import { schemaAt } from './expectation.ts';
import { explainIssue, valueAt } from './explain-issue.ts';
import { readFault } from './file-fault.ts';
import { findConfig } from './find-config.ts';
import { importLiteLlm, type LiteLlmImport } from './litellm/import-litellm.ts';
import { showNotHonoured } from './litellm/not-honoured.ts';
import { isLiteLlm } from './litellm/read-litellm.ts';
import { isRecoveryPolicy, type LoadedRecovery, loadRecovery } from './load-recovery.ts';
import { isSecretPath } from './model-entry.ts';

export interface LoadedConfig {
  /** Absolute path; null with zero config. */
  file: string | null;
  config: Config;
  environment: Environment;
  /** Lines of a LiteLLM file that have no effect, each with place and reason; empty for a file of ours. */
  notHonoured: string[];
  /** Default: what `config` itself has. */
  recovery?: LoadedRecovery;
}

export function loadConfig(configOption: string | undefined, environment: Environment): LoadedConfig {
  const file = findConfig(configOption, environment);
  const text = file === null ? '' : readText(file);
  const imported = file === null ? null : importedConfig(file, text);
  const shown = file ?? '(zero config)';
  const config = parseConfig(shown, imported?.text ?? text, environment, imported?.locate);
  const locate = imported?.locate ?? parseConfigDocument(shown, text).locate;
  return {
    file,
    config,
    environment,
    notHonoured: (imported?.notHonoured ?? []).map(showNotHonoured),
    recovery: loadRecovery({ file, config, environment }, locate),
  };
}

/** A configuration of LiteLLM is taken as it is. */
function importedConfig(file: string, text: string): LiteLlmImport | null {
  return isLiteLlm(parseConfigDocument(file, text).value) ? importLiteLlm(file, text, readText) : null;
}

/**
 * The pure part of `loadConfig`: `file` is only used in messages.
 * @param locateElsewhere where problems are shown when `text` was made from another file.
 */
export function parseConfig(
  file: string,
  text: string,
  environment: Environment,
  locateElsewhere?: ConfigDocument['locate'],
): Config {
  const document = parseConfigDocument(file, text);
  const locate = locateElsewhere ?? document.locate;
  let overridden: ReturnType<typeof overrideByEnvironment> = [];
  const fail = (problems: readonly ConfigProblem[]): never => {
    throw configError(
      inOrder(
        problems.map((problem) => ({
          problem: named(problem, overridden),
          position: locate(problem.path, problem.atKey),
        })),
      ).map(({ problem, position }) => showProblem(file, problem, position)),
    );
  };
  const { fromEnvironment, problems: missing } = substituteAll(document, environment);
  const { keys, gatewayPort } = readEnvironmentSettings(environment);
  const value = document.value ?? {};
  overridden = overrideByEnvironment(value, environment);
  const isSecret = (path: ConfigPath) => isSecretPath(path) || fromEnvironment.has(showPath(path));
  coerce(value, fromEnvironment);
  const rules = (config: Config) =>
    checkConfigRules(config, {
      environmentKeys: keys.length,
      environmentPort: gatewayPort,
      environmentRedis: usesRedis(config) && environmentRedisUrl(environment) !== undefined,
      written: (path) => valueAt(value, path) !== undefined,
    });
  const parsed = configSchema.safeParse(value);
  if (!parsed.success || missing.length > 0) {
    const issues = parsed.error?.issues ?? [];
    const ofSchema = issues
      .flatMap((issue) => explainIssue(issue, { value, isSecret }))
      // What a variable would have said there is not known.
      .filter(({ path }) => !missing.some((one) => isWithin(path, one.path)));
    const faults = [...missing, ...ofSchema];
    if (isRecoveryPolicy(value)) return fail([policyProblem()]);
    if (isForeign(value, ofSchema)) return fail([foreignProblem(value)]);
    return fail([...faults, ...rulesBeside(value, faults, rules)]);
  }
  const problems = rules(parsed.data);
  return problems.length > 0 ? fail(problems) : parsed.data;
}

/** The rules for what is left without the values that are wrong in themselves, where that is a configuration. */
function rulesBeside(
  value: unknown,
  faults: readonly ConfigProblem[],
  rules: (config: Config) => ConfigProblem[],
): ConfigProblem[] {
  const rest = structuredClone(value);
  for (const { path } of faults) {
    const parent = valueAt(rest, path.slice(0, -1));
    const key = path.at(-1);
    if (typeof parent !== 'object' || parent === null || key === undefined) return [];
    // Of a list nothing is taken out: the places of the others would be wrong then.
    if (!Array.isArray(parent)) delete (parent as Record<string | number, unknown>)[key];
  }
  const parsed = configSchema.safeParse(rest);
  if (!parsed.success) return [];
  // What a model needs depends on its engine: nothing can be said of it where that is wrong.
  const reach = (fault: ConfigProblem) =>
    fault.path.at(-1) === 'engine' ? fault.path.slice(0, -1) : fault.path;
  return rules(parsed.data).filter(
    ({ path }) => !faults.some((fault) => isWithin(path, reach(fault)) || isWithin(fault.path, path)),
  );
}

function isWithin(path: ConfigPath, parent: ConfigPath): boolean {
  return parent.every((step, index) => path[index] === step);
}

const FOREIGN_KEYS_MIN = 3;
const FOREIGN_KEYS_SHOWN = 5;

/** A file of another program: it has keys, and none of them is ours. */
function isForeign(value: unknown, problems: readonly ConfigProblem[]): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  const unknown = problems.filter(({ path, atKey }) => path.length === 1 && atKey === true);
  return keys.length >= FOREIGN_KEYS_MIN && unknown.length === keys.length;
}

function policyProblem(): ConfigProblem {
  const message =
    'this is a recovery policy and no configuration; would be right: the same below `auto_recovery:`, or as a file auto-recovery.yaml beside the configuration, where it is found by itself';
  return { path: [], message };
}

function foreignProblem(value: unknown): ConfigProblem {
  const keys = Object.keys(value as object);
  const more = keys.length > FOREIGN_KEYS_SHOWN ? ', ...' : '';
  const known = Object.keys(schemaAt([])?.properties ?? {}).join(', ');
  return {
    path: [],
    message: `this seems to be a file of another program: found the keys ${keys.slice(0, FOREIGN_KEYS_SHOWN).join(', ')}${more}; would be right: ${known}`,
  };
}

export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw PlatformError.from(error, 'config_invalid', `${file}: ${readFault(error)}`);
  }
}
