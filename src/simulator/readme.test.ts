import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { faultSchema, parseFaultText } from './faults/fault-script.ts';

const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');

describe('README', () => {
  it('shows only faults that are valid', () => {
    const examples = [...readme.matchAll(/`(\{"action".*?\})`/g)].map((match) => match[1] as string);
    expect(examples.length).toBeGreaterThan(10);
    for (const example of examples) parseFaultText(example, example);
  });

  it('names every fault', () => {
    for (const option of faultSchema.options) expect(readme).toContain(option.shape.action.value);
  });
});
