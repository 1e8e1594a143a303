import { expect, it } from 'vitest';
import { modelAddressFault } from './model-address.ts';

it.each([
  'hf:user/repository',
  'hf:user/repository:Q4_K_M',
  'hf:user/repository/file.gguf',
  'hf:user/repository/folder/file.gguf#branch',
  'hf://user/repository:Q8_0',
  'huggingface:user/repository/file-00001-of-00002.gguf',
  'https://example.org/model.gguf',
])('takes %s', (address) => {
  expect(modelAddressFault(address)).toBeUndefined();
});

it.each([
  'hf:',
  'hf:user',
  'hf:/repository',
  'hf:user/',
  'hf:user/repository/file.bin',
  'hf:user/repository:',
  'hf:user/repo sitory',
  'HF:user/repository',
  'https://',
])('refuses %s, naming it and the right shape', (address) => {
  expect(modelAddressFault(address)).toMatch(`found "${address}"; would be right: `);
});
