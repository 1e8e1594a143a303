/**
 * What a value at a path of `autoglm.yaml` must look like, in words, taken from the JSON Schema so that messages, the
 * reference page and the editor's schema cannot disagree.
 */
import { z } from 'zod';
import { configSchema } from '../../contract/config-schema.ts';
import { recoveryFileSchema, TIME_PATTERN } from '../../contract/recovery-policy-schema.ts';
import type { ConfigPath } from './config-problem.ts';

export interface SchemaNode {
  /** Several: any of them. */
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  /** Of an enum with several words for one thing: those to show. */
  examples?: unknown[];
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, SchemaNode>;
  required?: string[];
  items?: SchemaNode;
  anyOf?: SchemaNode[];
  additionalProperties?: boolean | SchemaNode;
  /** Of a map whose keys are names: those there are. */
  propertyNames?: SchemaNode;
}

let cached: SchemaNode | undefined;

/** JSON Schema of what a user may write. */
export function configJsonSchema(): SchemaNode {
  cached ??= z.toJSONSchema(configSchema, { io: 'input' }) as SchemaNode;
  return cached;
}

/** The same of `auto-recovery.yaml`. */
export function recoveryJsonSchema(): SchemaNode {
  return z.toJSONSchema(recoveryFileSchema, { io: 'input' }) as SchemaNode;
}

/** The part of the schema that rules the value at `path`; undefined for a path that the schema does not know. */
export function schemaAt(path: ConfigPath): SchemaNode | undefined {
  let node: SchemaNode | undefined = configJsonSchema();
  for (const step of path) {
    if (node === undefined) return undefined;
    node = typeof step === 'number' ? node.items : propertyOf(node, step);
  }
  return node;
}

function propertyOf(
  { properties, additionalProperties, anyOf = [] }: SchemaNode,
  key: string,
): SchemaNode | undefined {
  for (const choice of anyOf) {
    const found = propertyOf(choice, key);
    if (found !== undefined) return found;
  }
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key];
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

/** Keys that a map at `node` may have; of several spellings of one, the first. */
export function knownKeys(node: SchemaNode | undefined): string[] {
  if (node === undefined) return [];
  const names = (node.propertyNames?.enum ?? []).map(String);
  const spelled = (name: string) => name.replaceAll('_', '-');
  return [
    ...Object.keys(node.properties ?? {}),
    ...names.filter((name, index) => names.findIndex((other) => spelled(other) === spelled(name)) === index),
    ...(node.anyOf ?? []).flatMap(knownKeys),
  ];
}

/** Words that a text at `node` may be. */
export function knownWords(node: SchemaNode | undefined): string[] {
  if (node === undefined) return [];
  return [...(node.enum ?? []).map(String), ...(node.anyOf ?? []).flatMap(knownWords)];
}

/** "an integer from 1 to 64", "one of embedded, vllm", "a list of http or https addresses". */
export function describeExpectation(node: SchemaNode): string {
  if (node.anyOf !== undefined) return node.anyOf.map(describeExpectation).join(', or ');
  if (node.enum !== undefined) return describeEnum(node.enum, node.examples);
  if (node.pattern === TIME_PATTERN) return 'a time such as 500ms, 2s or 1m';
  if (Array.isArray(node.type)) return `a ${node.type.map(wordOf).join(' or a ')}`;
  switch (node.type) {
    case 'integer':
    case 'number':
      return `${node.type === 'integer' ? 'an integer' : 'a number'}${range(node)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return describeString(node);
    case 'array':
      return `a list${node.minItems ? ` with at least ${plural(node.minItems, 'entry', 'entries')}` : ''}${
        node.items === undefined ? '' : `, each ${describeExpectation(node.items)}`
      }`;
    case 'object':
      return describeMap(node);
    default:
      return 'another value';
  }
}

function describeEnum(words: readonly unknown[], shown: readonly unknown[] = words): string {
  const more = shown.length < words.length ? ' (or another word for one of them)' : '';
  return `one of ${shown.join(', ')}${more}`;
}

function wordOf(type: string): string {
  return type === 'string' ? 'text' : type;
}

function describeMap({ properties, additionalProperties }: SchemaNode): string {
  if (properties !== undefined) return `a map with the keys ${Object.keys(properties).join(', ')}`;
  const ofMaps = typeof additionalProperties === 'object' && additionalProperties.type === 'object';
  return ofMaps ? 'a map of names to maps' : 'a map of names to strings';
}

function describeString(node: SchemaNode): string {
  if (node.format === 'uri') return 'an address such as http://127.0.0.1:8000';
  if (node.minLength !== undefined && node.minLength > 1)
    return `a text of at least ${node.minLength} characters`;
  return node.minLength === 1 ? 'a text that is not empty' : 'a text';
}

function range({ minimum, maximum }: SchemaNode): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `, at least ${minimum}`;
  return maximum !== undefined ? `, at most ${maximum}` : '';
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
