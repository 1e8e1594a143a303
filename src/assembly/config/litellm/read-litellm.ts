/**
 * A LiteLLM `config.yaml` with the files that it includes, as LiteLLM reads them: lists of included files are appended,
 * other keys are replaced (docs.litellm.ai, proxy/config_management). Includes of includes are not followed.
 */
import { dirname, resolve } from 'node:path';
import { parseConfigDocument } from '../config-document.ts';
import { configError } from '../config-problem.ts';
import { isMap, LocatedMap, type Place } from './located.ts';

/** Far more than anybody splits a configuration into. */
const INCLUDES_MAX = 64;

export interface LiteLlmFile {
  models: LocatedMap[];
  environmentVariables: LocatedMap | undefined;
  routerSettings: LocatedMap | undefined;
  litellmSettings: LocatedMap | undefined;
  generalSettings: LocatedMap | undefined;
  /** Sections of ours that stand in the file: they are taken as they are, and go before what is made from the rest. */
  own: Record<string, unknown>;
  /** Everything else that stands on the top level, or is not of the expected kind. */
  others: Place[];
}

const OWN_SECTIONS = ['state_dir', 'gateway', 'timeouts', 'admin', 'supervisor', 'cache', 'limits', 'redis'];
const SECTIONS = {
  environment_variables: 'environmentVariables',
  router_settings: 'routerSettings',
  litellm_settings: 'litellmSettings',
  general_settings: 'generalSettings',
} as const;

/** Whether a parsed document is a LiteLLM file: it has a `model_list` or includes, and no key that only ours has. */
export function isLiteLlm(value: unknown): boolean {
  return isMap(value) && !('models' in value) && ('model_list' in value || 'litellm_settings' in value);
}

/** @param readText throws `config_invalid` for a file that can not be read. Throws `config_invalid` for YAML errors. */
export function readLiteLlm(file: string, text: string, readText: (file: string) => string): LiteLlmFile {
  const found: LiteLlmFile = {
    models: [],
    environmentVariables: undefined,
    routerSettings: undefined,
    litellmSettings: undefined,
    generalSettings: undefined,
    own: {},
    others: [],
  };
  const root = addFile(found, file, text);
  const includes = root?.take('include');
  if (root === undefined || includes === undefined) return found;
  const names = Array.isArray(includes) ? includes : [includes];
  if (names.length > INCLUDES_MAX || !names.every((name) => typeof name === 'string')) {
    const { line, column } = root.place('include');
    throw configError([
      `${file}:${line}:${column}: include: would be right: a list of at most ${INCLUDES_MAX} file names`,
    ]);
  }
  for (const name of names) {
    const included = resolve(dirname(file), name);
    addFile(found, included, readText(included));
  }
  return found;
}

function addFile(found: LiteLlmFile, file: string, text: string): LocatedMap | undefined {
  const document = parseConfigDocument(file, text);
  const { value } = document;
  if (value === undefined) return undefined;
  if (!isMap(value))
    throw configError([`${file}:1:1: (document): would be right: a map with \`model_list\``]);
  const root = new LocatedMap(document, [], value);
  const list = root.maps('model_list');
  found.models.push(...list.maps);
  found.others.push(...list.others);
  for (const [key, name] of Object.entries(SECTIONS)) {
    if (!(key in value)) continue;
    const section = root.map(key);
    if (section !== undefined) found[name] = section;
    else if (value[key] !== null) found.others.push(root.place(key));
  }
  for (const key of OWN_SECTIONS) if (key in value) found.own[key] = root.take(key);
  found.others.push(
    ...root
      .rest()
      .filter(({ key }) => key !== 'include')
      .map(({ place }) => place),
  );
  return root;
}
