/** Structured output in the fields of OpenAI and vLLM, as vLLM's backend and TensorRT-LLM want it. */
import { isRecord } from '../json/parse-object.ts';
import { refuse } from './generation-settings.ts';

export interface Structure {
  /** The field of the request that asked for it. */
  field: string;
  /** The keys of vLLM's StructuredOutputsParams. */
  vllm: Readonly<Record<string, unknown>>;
  tensorrtllm: { type: 'json' | 'json_schema' | 'regex' | 'ebnf_grammar'; guide: string };
}

type Fields = Readonly<Record<string, unknown>>;

/** Null for free text. Throws PlatformError `invalid_request`. */
export function structureOf(fields: Fields): Structure | null {
  return (
    fromResponseFormat(fields.response_format ?? undefined) ??
    fromOptions(
      isRecord(fields.structured_outputs) ? fields.structured_outputs : {},
      '',
      'structured_outputs',
    ) ??
    fromOptions(fields, 'guided_', null)
  );
}

function fromResponseFormat(format: unknown): Structure | null {
  if (format === undefined) return null;
  const field = 'response_format';
  if (!isRecord(format)) return refuse(field, format, 'an object');
  if (format.type === 'text') return null;
  if (format.type === 'json_object')
    return { field, vllm: { json_object: true }, tensorrtllm: { type: 'json', guide: '' } };
  const schema = isRecord(format.json_schema) ? format.json_schema.schema : undefined;
  if (format.type !== 'json_schema' || !isRecord(schema))
    return refuse(field, format.type, 'type "text", "json_object" or "json_schema" with a schema');
  return jsonSchema(field, schema);
}

function fromOptions(options: Fields, prefix: string, field: string | null): Structure | null {
  const option = (name: string) => options[`${prefix}${name}`] ?? undefined;
  const named = (name: string) => field ?? `${prefix}${name}`;
  const json = option('json');
  if (json !== undefined) return jsonSchema(named('json'), json);
  const regex = option('regex');
  if (regex !== undefined) {
    if (typeof regex !== 'string') return refuse(named('regex'), regex, 'a regular expression');
    return { field: named('regex'), vllm: { regex }, tensorrtllm: { type: 'regex', guide: regex } };
  }
  const choice = option('choice');
  if (choice !== undefined) {
    if (!Array.isArray(choice) || choice.length === 0 || !choice.every((item) => typeof item === 'string'))
      return refuse(named('choice'), choice, 'a list of texts');
    return { field: named('choice'), vllm: { choice }, tensorrtllm: { type: 'regex', guide: anyOf(choice) } };
  }
  const grammar = option('grammar');
  if (grammar === undefined) return null;
  if (typeof grammar !== 'string') return refuse(named('grammar'), grammar, 'a grammar in EBNF');
  return {
    field: named('grammar'),
    vllm: { grammar },
    tensorrtllm: { type: 'ebnf_grammar', guide: grammar },
  };
}

function jsonSchema(field: string, schema: unknown): Structure {
  const text = typeof schema === 'string' ? schema : JSON.stringify(schema);
  return { field, vllm: { json: schema }, tensorrtllm: { type: 'json_schema', guide: text } };
}

function anyOf(texts: readonly string[]): string {
  return `(${texts.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')})`;
}
