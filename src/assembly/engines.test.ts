/** Pages that say what engines can do are compared with what their drivers say, which is what the gateway goes by. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { ENGINE_KINDS, EXTRA_ENDPOINTS } from '../contract/fleet.ts';
import { engineDrivers } from './engines.ts';

const WRITTEN: Readonly<Record<string, string>> = {
  tgi: 'TGI',
  vllm: 'vLLM',
  sglang: 'SGLang',
  ollama: 'Ollama',
  triton: 'Triton',
  openai: 'any other OpenAI-compatible endpoint',
};

/** The table whose first column is `engine`, after `heading`: kind of engine to the other cell. */
function tableAfter(page: string, heading: string): Map<string, string> {
  const text = readFileSync(resolve(import.meta.dirname, '../../docs/reference', page), 'utf8');
  const lines = text.split(heading)[1]?.split('\n| --- | --- |\n')[1]?.split('\n\n')[0]?.split('\n') ?? [];
  const cells = lines.map((line) => line.slice(2, -2).split(' | '));
  return new Map(
    ENGINE_KINDS.flatMap((kind) => {
      const row = cells.find(([names = '']) => names.split(', ').includes(WRITTEN[kind] ?? kind));
      return row?.[1] === undefined ? [] : [[kind, row[1]] as const];
    }),
  );
}

function endpointsIn(cell: string): readonly string[] | undefined {
  if (cell === 'it is asked') return undefined;
  if (cell.startsWith('all;')) return EXTRA_ENDPOINTS;
  const [list = ''] = cell.split(':');
  return EXTRA_ENDPOINTS.filter((endpoint) => list.split(/[ ,]+/).includes(endpoint));
}

it('lists in http-api.md the end points that each driver offers', () => {
  const table = tableAfter('http-api.md', 'is refused with 501');
  for (const kind of ENGINE_KINDS)
    expect([kind, endpointsIn(table.get(kind) ?? 'no row')]).toEqual([
      kind,
      engineDrivers.get(kind)?.capabilities.endpoints,
    ]);
});

it('lists in dialects.md the engines that count the tokens of a chat', () => {
  const table = tableAfter('dialects.md', '## `POST /v1/messages/count_tokens`');
  for (const kind of ENGINE_KINDS) {
    const counts = table.get(kind)?.startsWith('`{"input_tokens"');
    expect([kind, counts]).toEqual([kind, engineDrivers.get(kind)?.capabilities.tokenize]);
  }
});
