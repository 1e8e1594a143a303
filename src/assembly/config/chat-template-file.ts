/** `chat_template` of the configuration: one of our own by name, a Jinja file, or a tokenizer_config.json as models publish it. */
import { readFileSync } from 'node:fs';
import { PlatformError } from '../../contract/errors.ts';
import type { ChatTemplate } from '../../contract/fleet.ts';
import { isRecord } from '../../wire/json/parse-object.ts';
import { chatTemplateFault } from '../../wire/kserve/chat-prompt.ts';
import { BUILT_IN_TEMPLATES } from '../../wire/kserve/chat-templates.ts';

/** Templates of models have some ten thousand characters; gateways get the whole text in each snapshot. */
const TEMPLATE_CHARS_MAX = 200_000;

/** Throws PlatformError `config_invalid`. */
export function readChatTemplate(written: string, fromHere: (path: string) => string): ChatTemplate {
  const builtIn = BUILT_IN_TEMPLATES[written];
  if (builtIn !== undefined) return builtIn;
  const file = fromHere(written);
  const text = readText(written, file);
  const template = file.endsWith('.json') ? fromTokenizerConfig(file, text) : { source: text, eosToken: '' };
  if (template.source.length > TEMPLATE_CHARS_MAX) {
    throw fault(
      `${file} has ${template.source.length} characters; would be right: at most ${TEMPLATE_CHARS_MAX}`,
    );
  }
  const wrong = chatTemplateFault(template);
  if (wrong !== null) throw fault(`${file} is not a Jinja template that can be read: ${wrong}`);
  return template;
}

function readText(written: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const names = Object.keys(BUILT_IN_TEMPLATES).join(', ');
    throw fault(
      `found "${written}", which is neither one of ${names} nor a file that can be read (${(error as Error).message})`,
    );
  }
}

function fromTokenizerConfig(file: string, text: string): ChatTemplate {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw fault(`${file} is not JSON: ${(error as Error).message}`);
  }
  const source = isRecord(config) ? defaultTemplate(config.chat_template) : undefined;
  if (!isRecord(config) || source === undefined)
    throw fault(`${file} has no \`chat_template\` text; some models keep it in chat_template.jinja`);
  return { source, eosToken: tokenText(config.eos_token) };
}

/** A text, or a list of named ones of which "default" counts. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const entry: unknown = value.find((item: unknown) => isRecord(item) && item.name === 'default');
  return isRecord(entry) && typeof entry.template === 'string' ? entry.template : undefined;
}

function tokenText(value: unknown): string {
  if (typeof value === 'string') return value;
  return isRecord(value) && typeof value.content === 'string' ? value.content : '';
}

function fault(message: string): PlatformError {
  return new PlatformError('config_invalid', `chat_template: ${message}`);
}
