import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import type { ModelStatus } from '../../contract/admin-api.ts';
import { renderModels } from './list.ts';

const model = {
  model: 'inference-ops-demo',
  source: 'file',
  state: 'served',
  engine: 'embedded',
  what: '/home/somebody/a/rather/long/way/to/the/checkout/models/inference-ops-demo.Q8_0.gguf',
  ready: 2,
  replicas: 2,
  replicasInFile: null,
  aliases: [],
  adapters: [],
} satisfies ModelStatus;

it('shortens what is loaded to the width of the terminal, and keeps it whole elsewhere', () => {
  const colors = picocolors.createColors(false);
  const list = { models: [model], notes: [] };
  const lines = renderModels(list, { colors, columns: 80 }).split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(lines[1]).toMatch(/…\S*demo\.Q8_0\.gguf$/);
  expect(renderModels(list, { colors, columns: null })).toContain(model.what);
});
