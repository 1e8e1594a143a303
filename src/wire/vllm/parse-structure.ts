/** The fields that ask for structured output, in all spellings in use, as one JSON Schema. */
import { PlatformError } from '../../contract/errors.ts';
import { isRecord } from '../json/parse-object.ts';
import { type Fields, refuse } from './request-fields.ts';

type Schema = Readonly<Record<string, unknown>>;

const SCHEMA_CHARS_MAX = 65_536;
const SCHEMA_DEPTH_MAX = 48;

/** `{}` stands for any JSON object. */
export function parseJsonSchema(fields: Fields): Schema | undefined {
  const schema = fromResponseFormat(fields) ?? fromGuidedJson(fields) ?? fromStructuredOutputs(fields);
  if (schema !== undefined) checkSchemaSize(schema, 'response_format');
  return schema;
}

function fromResponseFormat(fields: Fields): Schema | undefined {
  const format = fields.response_format ?? null;
  if (format === null) return undefined;
  if (!isRecord(format)) throw refuse('response_format', format, 'an object with a type');
  if (format.type === 'text') return undefined;
  if (format.type === 'json_object') return {};
  if (format.type !== 'json_schema') {
    throw refuse('response_format.type', format.type, '"text", "json_object" or "json_schema"');
  }
  const outer = format.json_schema;
  if (!isRecord(outer)) throw refuse('response_format.json_schema', outer, 'an object with a schema');
  if (!isRecord(outer.schema)) {
    throw refuse('response_format.json_schema.schema', outer.schema, 'a JSON Schema as an object');
  }
  return outer.schema;
}

function fromGuidedJson(fields: Fields): Schema | undefined {
  return schemaOf('guided_json', fields.guided_json ?? null);
}

/** vLLM 0.12 and later. */
function fromStructuredOutputs(fields: Fields): Schema | undefined {
  const outputs = fields.structured_outputs ?? null;
  if (outputs === null) return undefined;
  if (!isRecord(outputs)) throw refuse('structured_outputs', outputs, 'an object');
  for (const name of ['regex', 'choice', 'grammar', 'structural_tag']) {
    if ((outputs[name] ?? null) !== null) {
      throw refuse(
        `structured_outputs.${name}`,
        outputs[name],
        'only "json": this engine knows JSON Schema alone',
      );
    }
  }
  if (outputs.json_object === true) return {};
  return schemaOf('structured_outputs.json', outputs.json ?? null);
}

function schemaOf(param: string, value: unknown): Schema | undefined {
  if (value === null) return undefined;
  if (isRecord(value)) return value;
  if (typeof value !== 'string') throw refuse(param, value, 'a JSON Schema as an object or a string');
  try {
    const parsed: unknown = JSON.parse(value);
    if (isRecord(parsed)) return parsed;
  } catch {
    // Falls through to the refusal, which shows the text.
  }
  throw refuse(param, value, 'a JSON Schema; the string is not a JSON object');
}

/** Schemas become native grammars, so what could grow without bound is refused first. */
export function checkSchemaSize(schema: Schema, param: string): void {
  const depth = depthOf(schema, 0);
  if (depth > SCHEMA_DEPTH_MAX) {
    throw new PlatformError(
      'invalid_request',
      `the JSON Schema is nested more than ${SCHEMA_DEPTH_MAX} levels deep`,
      { param },
    );
  }
  const chars = JSON.stringify(schema).length;
  if (chars > SCHEMA_CHARS_MAX) {
    throw new PlatformError(
      'invalid_request',
      `the JSON Schema has ${chars} characters; at most ${SCHEMA_CHARS_MAX} are accepted`,
      { param },
    );
  }
}

function depthOf(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null || depth > SCHEMA_DEPTH_MAX) return depth;
  let deepest = depth;
  for (const child of Object.values(value)) deepest = Math.max(deepest, depthOf(child, depth + 1));
  return deepest;
}
