/** `autoglm models load`: an entry of `models` from options; the running system checks it as it checks the file. */
import { parse } from 'yaml';
import type { Environment } from '../../assembly/config/environment.ts';
import { locateModel } from '../../assembly/config/resolve-config.ts';
import { PlatformError } from '../../contract/errors.ts';
import { type CommandContext, connectAdmin } from '../command-context.ts';
import { followPool, type WaitOptions } from './follow.ts';

export interface LoadOptions extends WaitOptions {
  engine?: string;
  model?: string;
  replicas?: string;
  alias?: string[];
  url?: string[];
  adapter?: string[];
  set?: string[];
}

export async function loadModel(name: string, options: LoadOptions, context: CommandContext): Promise<void> {
  const client = connectAdmin(options, context);
  const result = await client.loadModel(modelEntry(name, options, context.environment));
  const nextStep = `It stays loaded. With the cause mended: \`autoglm restart ${name}\`. To load it otherwise: \`autoglm models unload ${name}\`, then load it again (\`--set KEY=VALUE\` for any key of the configuration, such as \`command\`).`;
  await followPool({ client, name, result, goal: 'ready', nextStep }, options, context);
}

/** Pure but for where the person is. Values are read as YAML, so that the schema judges them and not this command. */
export function modelEntry(
  name: string,
  { engine, model, replicas, alias, url, adapter, set = [] }: LoadOptions,
  environment: Environment,
): Record<string, unknown> {
  const located =
    model === undefined ? undefined : locateModel({ engine: engine ?? 'embedded', model }, environment);
  const given = {
    engine,
    model: located,
    replicas: replicas === undefined ? undefined : readValue('--replicas', replicas),
    aliases: alias,
    urls: url,
    lora_adapters: adapter?.map((text) => adapterOf(text, environment)),
  };
  const entry: Record<string, unknown> = { model_name: name };
  for (const [key, value] of Object.entries(given)) if (value !== undefined) entry[key] = value;
  for (const text of set) {
    const [key, value] = splitAt('--set', text, 'KEY=VALUE, such as max_seq_length=4096');
    entry[key] = readValue(`--set ${key}`, value);
  }
  return entry;
}

function adapterOf(text: string, environment: Environment): { name: string; path: string } {
  const [name, path] = splitAt('--adapter', text, 'NAME=PATH, such as sql=./adapters/sql');
  return { name, path: locateModel({ engine: '', model: path }, environment) };
}

function splitAt(option: string, text: string, right: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new PlatformError('invalid_request', `${option}: found "${text}"; would be right: ${right}`);
}

function readValue(option: string, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const { message } = error as Error;
    const first = message.split('\n', 1)[0];
    throw new PlatformError(
      'invalid_request',
      `${option}: found ${JSON.stringify(text)}, which is no value: ${first}`,
    );
  }
}
