import { expect, it } from 'vitest';
import { AdapterShelf } from './adapters.ts';

function setUp() {
  return new AdapterShelf({ adapters: [{ name: 'sql', path: '/a' }], exists: (path) => path !== '/none' });
}

it('loads, lists and unloads as vLLM does, in its words', () => {
  const shelf = setUp();
  expect(shelf.load({ lora_name: 'law', lora_path: '/b' })).toEqual({
    status: 200,
    text: "Success: LoRA adapter 'law' added successfully.",
  });
  expect(shelf.models({ model: 'base', ownedBy: 'vllm' }, 7)).toMatchObject([
    { id: 'sql', parent: 'base', root: '/a', created: 7 },
    { id: 'law', parent: 'base', root: '/b' },
  ]);
  expect(shelf.unload({ lora_name: 'law' }).status).toBe(200);
  expect(shelf.has('law')).toBe(false);
});

it.each([
  ['load', { lora_name: 'sql', lora_path: '/b' }, 400, "'sql' has already been loaded"],
  ['load', { lora_name: 'x', lora_path: '/none' }, 404, 'No adapter found for /none'],
  ['load', { lora_name: 'x' }, 400, 'must be provided'],
  ['load', { lora_name: ['x'], lora_path: {} }, 400, 'must be provided'],
  ['unload', { lora_name: 'x' }, 404, "'x' cannot be found"],
  ['unload', {}, 400, 'needs to be provided'],
] as const)('%s %j is refused with %i', (call, fields, status, message) => {
  const answer = setUp()[call](fields);
  expect(answer.status).toBe(status);
  expect(JSON.parse(answer.text)).toMatchObject({
    error: { message: expect.stringContaining(message), code: status },
  });
});
