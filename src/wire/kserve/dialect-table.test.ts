/** docs/reference/dialects-kserve.md, row by row: what the table says is what happens. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PYTHON, TENSORRTLLM, VLLM } from '../../../tests/support/kserve-signatures.ts';
import { PlatformError } from '../../contract/errors.ts';
import { engineError, httpStatusOf } from './engine-error.ts';
import { type InferPlan, planInference } from './openai-request.ts';

const PAGE = readFileSync(resolve(import.meta.dirname, '../../../docs/reference/dialects-kserve.md'), 'utf8');

function rowsOf(table: string): string[][] {
  const lines = PAGE.split(`<!-- table: ${table} -->`)[1]?.split('\n') ?? [];
  const first = lines.findIndex((line) => line.startsWith('|'));
  const rows = lines.slice(first + 2);
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith('|')),
    )
    .map((line) =>
      line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.trim()),
    );
}

const code = (cell: string) => cell.replace(/^`|`$/g, '');

const SIGNATURES = { vllm: VLLM, tensorrtllm: TENSORRTLLM, text: PYTHON } as const;

/** What of the plan changes by the field. */
function effectOf(field: string, value: unknown, signature: (typeof SIGNATURES)['vllm']): string[] {
  const base = { model: 'm', prompt: 'prompt' };
  const plan = (fields: object) => planInference('completions', fields as never, signature, undefined);
  const before = parts(plan(base));
  let after: Map<string, string>;
  try {
    after = parts(plan({ ...base, [field]: value }));
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(PlatformError);
    const { param, code } = thrown as PlatformError;
    expect([param?.split('[')[0], code]).toEqual([field, 'invalid_request']);
    return ['refused'];
  }
  const changed = [...after].filter(([part, text]) => before.get(part) !== text).map(([part]) => part);
  return changed.length === 0 ? ['dropped'] : changed;
}

function parts({ requests }: InferPlan): Map<string, string> {
  const found = new Map<string, string>();
  const [request] = requests;
  for (const [name, value] of Object.entries(request?.parameters ?? {}))
    found.set(`parameter ${name}`, JSON.stringify(value));
  for (const { name, values } of request?.inputs ?? []) {
    if (name !== 'sampling_parameters') found.set(`tensor ${name}`, JSON.stringify(values));
    else {
      for (const [key, value] of Object.entries(JSON.parse(String(values[0])) as object))
        found.set(`sampling ${key}`, JSON.stringify(value));
    }
  }
  return found;
}

const generation = rowsOf('generation');

describe('fields of requests for text', () => {
  it('are a table of some length', () => expect(generation.length).toBeGreaterThan(45));

  it.each(generation)('%s: %s', (field, example, ...effects) => {
    const value: unknown = JSON.parse(code(example as string));
    for (const [index, signature] of Object.values(SIGNATURES).entries()) {
      const effect = effectOf(code(field as string), value, signature);
      expect(effect, Object.keys(SIGNATURES)[index]).toContain(effects[index]);
    }
  });
});

describe('errors of engines', () => {
  const rows = rowsOf('errors');
  it('are a table of some length', () => expect(rows.length).toBeGreaterThan(12));

  it.each(rows)('HTTP %s, gRPC %s, %s', (http, grpc, message, becomes) => {
    const text = message === 'anything' ? 'some words' : code(message as string);
    for (const status of [Number(http), ...(grpc === '-' ? [] : [httpStatusOf(Number(grpc))])]) {
      const error = engineError(status, text);
      expect(`${error.spec.status} \`${error.code}\``, `status ${status}`).toBe(becomes);
      expect(error.message).toContain(text);
    }
  });
});
