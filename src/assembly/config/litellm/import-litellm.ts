/**
 * A LiteLLM configuration as one of ours: the text of an `autoglm.yaml` that does the same as far as it can, and the list of
 * every line that it could not honour. `autoglm import litellm` writes it; `serve --config` takes it directly.
 */
import { stringify } from 'yaml';
import type { ConfigInput } from '../../../contract/config-schema.ts';
import { type ConfigPath, configError, type Position } from '../config-problem.ts';
import { convertModels } from './convert-models.ts';
import { convertSettings } from './convert-settings.ts';
import { isMap, type Place } from './located.ts';
import { type NotHonoured, notHonoured } from './not-honoured.ts';
import { readLiteLlm } from './read-litellm.ts';
import { References } from './references.ts';

export interface LiteLlmImport {
  /** An `autoglm.yaml`, without the list. */
  text: string;
  /** In the order of files and lines. */
  notHonoured: NotHonoured[];
  /** Where in the LiteLLM file the value at a path of our file comes from. */
  locate(path: ConfigPath): Position | undefined;
}

/** Throws `config_invalid` for YAML errors, unreadable includes, and a file with no model that can be served. */
export function importLiteLlm(file: string, text: string, readText: (file: string) => string): LiteLlmImport {
  const litellm = readLiteLlm(file, text, readText);
  const references = new References(litellm.environmentVariables);
  const { models, places, notHonoured: ofModels } = convertModels(litellm.models, references);
  const config: ConfigInput = { models };
  const lost = [
    ...ofModels,
    ...convertSettings(litellm, config, references),
    ...references.unused(),
    ...litellm.others.map((place) => notHonoured(place.path, place)),
  ];
  const notHonouredLines = inFileOrder(lost, file);
  if (models.length === 0) {
    throw configError([
      `${file}${placeOfList(text)}: model_list: found no model that can be served here; would be right: at least one entry that names a server by \`api_base\`, such as { model_name: chat, litellm_params: { model: openai/chat, api_base: "http://127.0.0.1:8000/v1" } }`,
      ...notHonouredLines.map(
        ({ line, column, path, reason }) => `${file}:${line}:${column}: ${path}: ${reason}`,
      ),
    ]);
  }
  return {
    text: stringify(withOwnSections(config, litellm.own), { lineWidth: 0 }),
    notHonoured: notHonouredLines,
    locate: (path) => placeInFile(path, models, places),
  };
}

/** A key of the top level begins a line. */
function placeOfList(text: string): string {
  const line = text.split('\n').findIndex((one) => /^["']?model_list\b/.test(one));
  return line < 0 ? '' : `:${line + 1}:1`;
}

/** What the user wrote in our own words wins, key by key. */
function withOwnSections(config: ConfigInput, own: Readonly<Record<string, unknown>>): object {
  const sections = { ...config, ...own } as Record<string, unknown>;
  for (const [name, written] of Object.entries(own)) {
    const made = config[name as keyof ConfigInput];
    if (isMap(written) && isMap(made)) sections[name] = { ...made, ...written };
  }
  const { models, ...others } = sections;
  return { ...others, models };
}

function placeInFile(
  path: ConfigPath,
  models: readonly { model_name: string }[],
  places: ReadonlyMap<string, Place>,
): Position | undefined {
  const model = path[0] === 'models' ? models[Number(path[1])] : undefined;
  const place = model === undefined ? undefined : places.get(model.model_name);
  return place === undefined ? undefined : { line: place.line, column: place.column };
}

function inFileOrder(lines: readonly NotHonoured[], first: string): NotHonoured[] {
  return [...lines].sort((a, b) => {
    if (a.file !== b.file) return a.file === first ? -1 : b.file === first ? 1 : a.file < b.file ? -1 : 1;
    return a.line - b.line || a.column - b.column;
  });
}
