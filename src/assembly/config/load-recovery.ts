/**
 * Where the recovery policy is written: in `autoglm.yaml` itself (`auto_recovery`), in a file that it names, or in
 * `auto-recovery.yaml` beside it (with zero config: in the working directory). In one place only. Throws PlatformError
 * `config_invalid` that lists every problem with its place.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Config } from '../../contract/config-schema.ts';
import { PlatformError } from '../../contract/errors.ts';
import { type RecoveryFile, recoveryFileSchema } from '../../contract/recovery-policy-schema.ts';
import { type ConfigDocument, parseConfigDocument } from './config-document.ts';
import { type ConfigPath, type ConfigProblem, configError, showPath, showProblem } from './config-problem.ts';
import { coerce, inOrder, substituteAll } from './document-values.ts';
import type { Environment } from './environment.ts';
import { explainIssue } from './explain-issue.ts';
import { readFault } from './file-fault.ts';
import { locatePath } from './locate-path.ts';
import { resolveRecovery } from './resolve-recovery.ts';

export interface LoadedRecovery {
  /** Absolute path of the file that has it; null: nobody wrote one. */
  file: string | null;
  written: RecoveryFile | undefined;
}

const FILE_NAMES = ['auto-recovery.yaml', 'auto-recovery.yml'] as const;
/** Where the policy stands in `autoglm.yaml`; its problems are explained by the schema of that place. */
const PLACE = 'auto_recovery';

/** `locate` tells where `auto_recovery` stands in the configuration. */
export function loadRecovery(
  { file, config, environment }: { file: string | null; config: Config; environment: Environment },
  locate: ConfigDocument['locate'],
): LoadedRecovery {
  const directory = file === null ? environment.workDir : dirname(file);
  const written = config.auto_recovery;
  const fail = (message: string): never => {
    const problem = { path: [PLACE], message };
    throw configError([showProblem(file ?? '(zero config)', problem, locate(problem.path, true))]);
  };
  const [beside, other] = FILE_NAMES.map((name) => join(directory, name)).filter((path) => existsSync(path));
  if (written === undefined) {
    if (beside === undefined) return { file: null, written: undefined };
    if (other !== undefined)
      throw configError([
        `${other}: found beside ${beside}; a recovery policy stands in one file, remove one`,
      ]);
    return { file: beside, written: readRecovery(beside, environment) };
  }
  const named =
    typeof written === 'string'
      ? locatePath(written, { baseDir: directory, homeDir: environment.homeDir })
      : null;
  if (beside !== undefined && beside !== named) {
    const what = named === null ? 'a policy' : `"${String(written)}"`;
    fail(
      `found ${what} here, and there is ${beside}, too; a recovery policy stands in one place: leave this key out, or remove that file`,
    );
  }
  if (named === null) return { file, written: written as RecoveryFile };
  if (!existsSync(named))
    fail(
      `found "${String(written)}", and there is no file ${named}; give the path of a recovery policy, or the policy itself`,
    );
  return { file: named, written: readRecovery(named, environment) };
}

function readRecovery(file: string, environment: Environment): RecoveryFile {
  return parseRecovery(file, readText(file), environment);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw PlatformError.from(error, 'config_invalid', `${file}: ${readFault(error)}`);
  }
}

/** A recovery policy that was named where a configuration might have been; null: it is none, or there is no such file. */
export function readLoneRecovery(named: string, environment: Environment): LoadedRecovery | null {
  const file = resolve(environment.workDir, named);
  if (!existsSync(file)) return null;
  const text = readText(file);
  const isNamedSo = FILE_NAMES.some((name) => name === basename(file));
  if (!isNamedSo && !isRecoveryPolicy(parseConfigDocument(file, text).value)) return null;
  return { file, written: parseRecovery(file, text, environment) };
}

/** The pure part: `file` is only used in messages. An empty text is the policy of nobody, with all defaults. */
export function parseRecovery(file: string, text: string, environment: Environment): RecoveryFile {
  const document = parseConfigDocument(file, text);
  const { fromEnvironment, problems: missing } = substituteAll(document, environment);
  const value = document.value ?? {};
  coerce(value, fromEnvironment, [PLACE]);
  const parsed = recoveryFileSchema.safeParse(value);
  const isSecret = (path: ConfigPath) => fromEnvironment.has(showPath(path.slice(1)));
  const ofSchema = (parsed.error?.issues ?? []).flatMap((issue) =>
    explainIssue({ ...issue, path: [PLACE, ...issue.path] }, { value: { [PLACE]: value }, isSecret }),
  );
  const problems = [
    ...missing,
    ...ofSchema
      .map((problem) => ({ ...problem, path: problem.path.slice(1) }))
      .filter(({ path }) => !missing.some((one) => showPath(one.path) === showPath(path))),
  ];
  if (parsed.success && problems.length === 0) problems.push(...resolveRecovery(parsed.data).problems);
  if (parsed.success && problems.length === 0) return parsed.data;
  const placed = problems.map((problem) => ({
    problem,
    position: document.locate(problem.path, problem.atKey),
  }));
  throw configError(inOrder(placed).map(({ problem, position }) => showProblem(file, problem, position)));
}

/** Of the policy that stands in `autoglm.yaml` itself. */
export function checkInlineRecovery({ auto_recovery: written }: Config): ConfigProblem[] {
  if (written === undefined || typeof written === 'string') return [];
  return resolveRecovery(written).problems.map((problem) => ({ ...problem, path: [PLACE, ...problem.path] }));
}

/** Whether a document is a recovery policy on its own, and no `autoglm.yaml`. */
export function isRecoveryPolicy(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every((key) => key === 'monitoring' || key === 'recovery');
}
