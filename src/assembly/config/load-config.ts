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
import type { Environment } from './environment.ts';
import { environmentRedisUrl, readEnvironmentSettings } from './environment-settings.ts';
import { schemaAt } from './expectation.ts';
import { explainIssue, valueAt } from './explain-issue.ts';
import { findConfig } from './find-config.ts';
import { importLiteLlm, type LiteLlmImport } from './litellm/import-litellm.ts';
import { showNotHonoured } from './litellm/not-honoured.ts';
import { isLiteLlm } from './litellm/read-litellm.ts';
import { isSecretPath } from './model-entry.ts';
import { substitute } from './substitute.ts';

export interface LoadedConfig {
  /** Absolute path; null with zero config. */
  file: string | null;
  config: Config;
  environment: Environment;
  /** Lines of a LiteLLM file that have no effect, each with place and reason; empty for a file of ours. */
  notHonoured: string[];
}

export function loadConfig(configOption: string | undefined, environment: Environment): LoadedConfig {
  const file = findConfig(configOption, environment);
  const text = file === null ? '' : readText(file);
  const imported = file === null ? null : importedConfig(file, text);
  return {
    file,
    config: parseConfig(file ?? '(zero config)', imported?.text ?? text, environment, imported?.locate),
    environment,
    notHonoured: (imported?.notHonoured ?? []).map(showNotHonoured),
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
  const fail = (problems: readonly ConfigProblem[]): never => {
    throw configError(
      problems.map((problem) => showProblem(file, problem, locate(problem.path, problem.atKey))),
    );
  };
  const { fromEnvironment, problems: missing } = substituteAll(document, environment);
  if (missing.length > 0) fail(missing);

  const value = document.value ?? {};
  const isSecret = (path: ConfigPath) => isSecretPath(path) || fromEnvironment.has(showPath(path));
  coerce(value, fromEnvironment);
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    return fail(parsed.error.issues.flatMap((issue) => explainIssue(issue, { value, isSecret })));
  }
  const { keys } = readEnvironmentSettings(environment);
  const problems = checkConfigRules(parsed.data, {
    environmentKeys: keys.length,
    environmentRedis: usesRedis(parsed.data) && environmentRedisUrl(environment) !== undefined,
    written: (path) => valueAt(value, path) !== undefined,
  });
  return problems.length > 0 ? fail(problems) : parsed.data;
}

export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw PlatformError.from(error, 'config_invalid', `${file}: cannot be read: ${(error as Error).message}`);
  }
}

/** Paths whose value came from the environment, by the way they are shown. */
type FromEnvironment = Map<string, ConfigPath>;

function substituteAll(document: ConfigDocument, environment: Environment) {
  const fromEnvironment: FromEnvironment = new Map();
  const problems: ConfigProblem[] = [];
  document.replaceStrings((text, path) => {
    const { text: replaced, names, missing, malformed } = substitute(text, environment.variables);
    for (const name of missing) {
      problems.push({
        path,
        message: `the environment variable ${name} is not set; set it, or write \${${name}:-default}`,
      });
    }
    for (const written of malformed) {
      problems.push({
        path,
        message: `found ${written}; would be right: \${NAME} or \${NAME:-default}, and $\${ for a plain \${`,
      });
    }
    if (names.length > 0) fromEnvironment.set(showPath(path), path);
    return replaced;
  });
  return { fromEnvironment, problems };
}

/** The environment holds only text: where the schema wants a number or a boolean, text that reads as one becomes one. */
function coerce(value: unknown, fromEnvironment: FromEnvironment): void {
  for (const path of fromEnvironment.values()) {
    const parent = valueAt(value, path.slice(0, -1)) as Record<string | number, unknown> | undefined;
    const key = path.at(-1);
    if (parent === undefined || key === undefined) continue;
    const typed = readAs(schemaAt(path)?.type, String(parent[key]));
    if (typed !== undefined) parent[key] = typed;
  }
}

function readAs(type: string | undefined, text: string): number | boolean | undefined {
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined;
  if (type !== 'integer' && type !== 'number') return undefined;
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}
