import { expect, it } from 'vitest';
import { checkDescriptors, checkMemory, checkMigration, checkNode, descriptorLimit } from './machine.ts';

it('names the Node that is needed and how to get it', () => {
  expect(checkNode('20.11.1')).toMatchObject({ level: 'fail', found: '20.11.1; 24 or later is needed' });
  expect(checkNode('24.0.0').level).toBe('ok');
});

it('reads the limit of open files', () => {
  expect(descriptorLimit('Max open files            1024                 4096                 files\n')).toBe(
    1024,
  );
  expect(descriptorLimit('Max open files            unlimited            unlimited            files\n')).toBe(
    Infinity,
  );
  expect(descriptorLimit('')).toBeUndefined();
  expect([100, 1024, 65_536].map((limit) => checkDescriptors(limit).level)).toEqual(['fail', 'warn', 'ok']);
});

it('weighs memory and the kernel setting', () => {
  const gib = 1024 ** 3;
  expect([0.1, 1, 8].map((size) => checkMemory(size * gib, 16 * gib).level)).toEqual(['fail', 'warn', 'ok']);
  expect(['', '0', '1'].map((setting) => checkMigration(setting).level)).toEqual(['ok', 'warn', 'ok']);
});
