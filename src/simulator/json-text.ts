/**
 * Writes a JSON document that obeys a JSON Schema, the same one for the same seed: the stand-in for grammar-guided decoding.
 * Keywords that it can not honour are refused with `not_supported` instead of producing a text that breaks the schema.
 */
import { createRandom, type Random } from '../base/random.ts';
import { PlatformError } from '../contract/errors.ts';
import { modelWords } from './words.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Bounds what a recursive `$ref` can grow to. */
const DEPTH_MAX = 12;
const ANNOTATIONS = [
  '$schema', '$id', '$defs', '$ref', '$comment', 'definitions', 'title', 'description', 'default', 'examples',
  'type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', 'properties', 'required', 'additionalProperties', 'items', 'minItems', 'maxItems',
  'minLength', 'maxLength', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'nullable', 'strict',
]; // biome-ignore format: a list of words
const WORDS = modelWords();

export function jsonFor(schema: Schema, seed: number): string {
  const writer = new Writer(schema, createRandom(seed));
  return JSON.stringify(
    Object.keys(schema).length === 0 ? writer.freeObject() : writer.value(schema, '$', 0),
  );
}

class Writer {
  readonly #root: Schema;
  readonly #random: Random;

  constructor(root: Schema, random: Random) {
    this.#root = root;
    this.#random = random;
  }

  freeObject(): unknown {
    return {
      [this.#random.pick(WORDS)]: this.#words(1, 3),
      [this.#random.pick(WORDS)]: this.#random.int(100),
    };
  }

  value(given: unknown, path: string, depth: number): unknown {
    if (given === true || given === undefined) return this.#words(1, 2);
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw new PlatformError(
        'invalid_request',
        `json schema: ${path} is ${JSON.stringify(given)}; expected an object`,
      );
    }
    if (depth > DEPTH_MAX) {
      throw new PlatformError(
        'not_supported',
        `json schema: ${path} is nested deeper than ${DEPTH_MAX} levels`,
      );
    }
    const schema = given as Schema;
    refuseUnknown(schema, path);
    if (typeof schema.$ref === 'string') return this.value(this.#resolve(schema.$ref, path), path, depth + 1);
    if ('const' in schema) return schema.const;
    if (Array.isArray(schema.enum)) return this.#random.pick(schema.enum);
    const choices = schema.anyOf ?? schema.oneOf;
    if (Array.isArray(choices)) {
      // Deep inside, the last choice: by custom the one that ends a recursion (`null`).
      const index = depth > DEPTH_MAX / 2 ? choices.length - 1 : this.#random.int(choices.length);
      return this.value(choices[index], `${path}.anyOf[${index}]`, depth + 1);
    }
    if (Array.isArray(schema.allOf)) return this.value(merged(schema), path, depth + 1);
    return this.#typed(schema, path, depth);
  }

  #typed(schema: Schema, path: string, depth: number): unknown {
    const type = Array.isArray(schema.type) ? schema.type[0] : (schema.type ?? impliedType(schema));
    switch (type) {
      case 'object':
        return this.#object(schema, path, depth);
      case 'array':
        return this.#array(schema, path, depth);
      case 'string':
        return this.#string(schema);
      case 'integer':
        return this.#number(schema, path, true);
      case 'number':
        return this.#number(schema, path, false);
      case 'boolean':
        return this.#random.int(2) === 1;
      case 'null':
        return null;
      default:
        throw new PlatformError(
          'invalid_request',
          `json schema: ${path}.type is ${JSON.stringify(type)}; expected object, array, string, integer, number, boolean or null`,
        );
    }
  }

  #object(schema: Schema, path: string, depth: number): unknown {
    const properties = (schema.properties ?? {}) as Record<string, unknown>;
    const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
    const names = new Set([...Object.keys(properties), ...required]);
    const entries: [string, unknown][] = [];
    for (const name of names) {
      // Optional properties are left out where they could recurse for ever.
      if (depth > DEPTH_MAX / 2 && !required.includes(name)) continue;
      entries.push([name, this.value(properties[name], `${path}.${name}`, depth + 1)]);
    }
    return Object.fromEntries(entries);
  }

  #array(schema: Schema, path: string, depth: number): unknown {
    const least = bound(schema.minItems, 0);
    const most = Math.max(least, Math.min(bound(schema.maxItems, least + 3), least + 3));
    const count = depth > DEPTH_MAX / 2 ? least : least + this.#random.int(most - least + 1);
    return Array.from({ length: count }, (_, i) => this.value(schema.items, `${path}[${i}]`, depth + 1));
  }

  #string(schema: Schema): string {
    const least = bound(schema.minLength, 0);
    const most = bound(schema.maxLength, Number.POSITIVE_INFINITY);
    let text = this.#words(1, 4);
    while (text.length < least) text += ` ${this.#words(1, 1)}`;
    return text.slice(0, most);
  }

  #number(schema: Schema, path: string, whole: boolean): number {
    const step = whole ? 1 : 0.5;
    const above = typeof schema.exclusiveMinimum === 'number' ? schema.exclusiveMinimum + step : undefined;
    const below = typeof schema.exclusiveMaximum === 'number' ? schema.exclusiveMaximum - step : undefined;
    const least = above ?? bound(schema.minimum, Math.min(0, bound(below ?? schema.maximum, 0)));
    const most = below ?? bound(schema.maximum, least + 100);
    const from = whole ? Math.ceil(least) : least;
    const span = (whole ? Math.floor(most) : most) - from;
    if (span < 0) {
      throw new PlatformError(
        'invalid_request',
        `json schema: ${path} allows no number between ${least} and ${most}`,
      );
    }
    return whole ? from + this.#random.int(span + 1) : from + Math.floor(this.#random.next() * span * 2) / 2;
  }

  #words(least: number, most: number): string {
    const count = least + this.#random.int(most - least + 1);
    return Array.from({ length: count }, () => this.#random.pick(WORDS)).join(' ');
  }

  #resolve(reference: string, path: string): unknown {
    const steps = reference.replace(/^#\/?/, '').split('/').filter(Boolean);
    let found: unknown = this.#root;
    for (const step of steps) found = (found as Record<string, unknown> | undefined)?.[step];
    if (!reference.startsWith('#') || found === undefined) {
      throw new PlatformError(
        'invalid_request',
        `json schema: ${path}.$ref "${reference}" leads nowhere in this schema`,
      );
    }
    return found;
  }
}

function refuseUnknown(schema: Schema, path: string): void {
  const unknown = Object.keys(schema).find((key) => !ANNOTATIONS.includes(key));
  if (unknown === undefined) return;
  throw new PlatformError('not_supported', `json schema: the simulator can not honour ${path}.${unknown}`);
}

function impliedType(schema: Schema): string {
  if (schema.properties !== undefined) return 'object';
  return schema.items !== undefined ? 'array' : 'string';
}

function bound(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}

/** `allOf` of objects, merged into one schema. */
function merged(schema: Schema): Schema {
  const parts = [...(schema.allOf as Schema[]), { ...schema, allOf: undefined }];
  const result: Record<string, unknown> = {};
  for (const part of parts) {
    for (const [key, value] of Object.entries(part)) {
      if (key === 'properties')
        result.properties = { ...(result.properties as object), ...(value as object) };
      else if (key === 'required')
        result.required = [...((result.required as string[]) ?? []), ...(value as string[])];
      else if (value !== undefined) result[key] = value;
    }
  }
  return result;
}
