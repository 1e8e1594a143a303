/**
 * From JSON Schema as clients write it to the part that the native grammar compiler follows. What only describes is dropped;
 * what constrains and can not be followed is refused, so that an answer never looks checked when it was not.
 * All properties of an object become required: such answers are valid, too, and the grammar stays small.
 */
import { PlatformError } from '../../../contract/errors.ts';

export type Schema = Readonly<Record<string, unknown>>;

/** Keywords that constrain, and that the compiler does not know. */
const NOT_FOLLOWED = [
  ...[
    'pattern',
    'minimum',
    'maximum',
    'exclusiveMinimum',
    'exclusiveMaximum',
    'multipleOf',
    'uniqueItems',
    'not',
  ],
  ...['if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'patternProperties', 'propertyNames'],
  ...['contains', 'minContains', 'maxContains', 'unevaluatedProperties', 'unevaluatedItems'],
];
const SCALARS = ['string', 'number', 'integer', 'boolean', 'null'];
const FORMATS = ['date-time', 'date', 'time'];
/** The native compiler refuses longer repetitions. */
const REPETITIONS_MAX = 1_000;
const ANY = 'autoglm-any';

/** Throws PlatformError `invalid_request` that names the place in the schema. */
export function supportedSchema(schema: Schema): Schema {
  const root = convert(schema, 'schema');
  const definitions = Object.entries(definitionsOf(schema)).map(([name, definition]) => [
    name,
    convert(definition, `schema.$defs.${name}`),
  ]);
  const any = { $ref: `#/$defs/${ANY}` };
  const anyValue = {
    oneOf: [
      { type: ['string', 'number', 'boolean', 'null'] },
      { type: 'array', items: any },
      { type: 'object', additionalProperties: any },
    ],
  };
  const $defs = { ...Object.fromEntries(definitions), [ANY]: anyValue };
  // Definitions are read at compound schemas only, and a scalar needs none.
  return 'type' in root && root.type !== 'object' && root.type !== 'array' ? root : { ...root, $defs };
}

function convert(schema: unknown, place: string): Schema {
  if (schema === true) return { $ref: `#/$defs/${ANY}` };
  if (!isRecord(schema)) throw refuse(place, `found ${JSON.stringify(schema)}; expected an object`);
  for (const keyword of NOT_FOLLOWED) {
    if (schema[keyword] !== undefined && schema[keyword] !== false) {
      throw refuse(`${place}.${keyword}`, 'this keyword can not be followed by the engine; remove it');
    }
  }
  if (schema.$ref !== undefined) return convertRef(schema.$ref, place);
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives !== undefined) return convertAlternatives(alternatives, place);
  if (schema.allOf !== undefined) return convertAllOf(schema.allOf, place);
  if (schema.const !== undefined) return { const: scalar(schema.const, `${place}.const`) };
  if (schema.enum !== undefined) return convertEnum(schema.enum, place);
  return convertType(schema, place);
}

function convertType(schema: Schema, place: string): Schema {
  const type = schema.type ?? impliedType(schema);
  if (type === undefined) return { $ref: `#/$defs/${ANY}` };
  if (Array.isArray(type)) {
    if (type.length === 0) throw refuse(`${place}.type`, 'expected at least one type');
    if (type.every((one) => SCALARS.includes(one as string))) return { type };
    return { oneOf: type.map((one) => convertType({ ...schema, type: one as unknown }, place)) };
  }
  if (type === 'object') return convertObject(schema, place);
  if (type === 'array') return convertArray(schema, place);
  if (type === 'string') return convertString(schema, place);
  if (typeof type === 'string' && SCALARS.includes(type)) return { type };
  throw refuse(
    `${place}.type`,
    `found ${JSON.stringify(type)}; expected ${SCALARS.join(', ')}, object or array`,
  );
}

function impliedType(schema: Schema): string | undefined {
  if (schema.properties !== undefined || schema.additionalProperties !== undefined) return 'object';
  return schema.items !== undefined || schema.prefixItems !== undefined ? 'array' : undefined;
}

function convertObject(schema: Schema, place: string): Schema {
  const properties = schema.properties ?? {};
  if (!isRecord(properties)) throw refuse(`${place}.properties`, 'expected an object');
  const required = schema.required ?? [];
  if (!Array.isArray(required)) throw refuse(`${place}.required`, 'expected an array of names');
  const fields: Record<string, Schema> = {};
  for (const [name, property] of Object.entries(properties)) {
    fields[name] = convert(property, `${place}.properties.${name}`);
  }
  for (const name of required) {
    if (typeof name !== 'string') throw refuse(`${place}.required`, 'expected an array of names');
    fields[name] ??= convert(true, place);
  }
  // Where properties are listed, further ones are left out: that is valid, and what clients expect.
  const open = Object.keys(fields).length === 0 && schema.additionalProperties !== false;
  const others = isRecord(schema.additionalProperties)
    ? convert(schema.additionalProperties, `${place}.additionalProperties`)
    : convert(true, place);
  return {
    type: 'object',
    properties: fields,
    ...(open && { additionalProperties: others }),
    ...bounds(schema, ['minProperties', 'maxProperties'], place),
  };
}

function convertArray(schema: Schema, place: string): Schema {
  const prefix = schema.prefixItems;
  if (prefix !== undefined && !Array.isArray(prefix))
    throw refuse(`${place}.prefixItems`, 'expected an array');
  return {
    type: 'array',
    items: convert(schema.items ?? true, `${place}.items`),
    ...(prefix !== undefined && {
      prefixItems: prefix.map((item, index) => convert(item, `${place}.prefixItems[${index}]`)),
    }),
    ...bounds(schema, ['minItems', 'maxItems'], place),
  };
}

function convertString(schema: Schema, place: string): Schema {
  const { format } = schema;
  if (format === undefined) return { type: 'string', ...bounds(schema, ['minLength', 'maxLength'], place) };
  if (typeof format === 'string' && FORMATS.includes(format)) return { type: 'string', format };
  throw refuse(`${place}.format`, `found ${JSON.stringify(format)}; expected ${FORMATS.join(', ')} or none`);
}

function convertRef(ref: unknown, place: string): Schema {
  const name = typeof ref === 'string' ? /^#\/(?:\$defs|definitions)\/([^/]+)$/.exec(ref)?.[1] : undefined;
  if (name === undefined)
    throw refuse(`${place}.$ref`, `found ${JSON.stringify(ref)}; expected "#/$defs/NAME"`);
  return { $ref: `#/$defs/${name}` };
}

function convertAlternatives(alternatives: unknown, place: string): Schema {
  if (!Array.isArray(alternatives) || alternatives.length === 0) {
    throw refuse(`${place}.anyOf`, 'expected at least one schema');
  }
  return { oneOf: alternatives.map((one, index) => convert(one, `${place}.anyOf[${index}]`)) };
}

function convertAllOf(parts: unknown, place: string): Schema {
  if (Array.isArray(parts) && parts.length === 1) return convert(parts[0], `${place}.allOf[0]`);
  throw refuse(`${place}.allOf`, 'only one schema can be followed here');
}

function convertEnum(values: unknown, place: string): Schema {
  if (!Array.isArray(values) || values.length === 0)
    throw refuse(`${place}.enum`, 'expected at least one value');
  return { enum: values.map((value, index) => scalar(value, `${place}.enum[${index}]`)) };
}

function scalar(value: unknown, place: string): unknown {
  if (typeof value !== 'object' || value === null) return value;
  throw refuse(place, 'expected a string, number, boolean or null');
}

function bounds(schema: Schema, names: readonly string[], place: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name of names) {
    const value = schema[name];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > REPETITIONS_MAX) {
      throw refuse(
        `${place}.${name}`,
        `found ${JSON.stringify(value)}; expected an integer from 0 to ${REPETITIONS_MAX}`,
      );
    }
    found[name] = value;
  }
  const [least, most] = names.map((name) => found[name]);
  if (least !== undefined && most !== undefined && least > most) {
    throw refuse(place, `${names[0]} ${least} is more than ${names[1]} ${most}`);
  }
  return found;
}

function definitionsOf(schema: Schema): Schema {
  const definitions = { ...asRecord(schema.definitions), ...asRecord(schema.$defs) };
  for (const name of refNames(schema)) {
    if (!(name in definitions)) throw refuse(`schema.$ref`, `"#/$defs/${name}" points to nothing`);
  }
  return definitions;
}

function refNames(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const name = key === '$ref' && typeof child === 'string' ? child.split('/').at(-1) : undefined;
    return name === undefined ? refNames(child) : [name];
  });
}

const asRecord = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {});

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(place: string, detail: string): PlatformError {
  return new PlatformError('invalid_request', `JSON Schema, ${place}: ${detail}`, {
    param: 'response_format',
  });
}
