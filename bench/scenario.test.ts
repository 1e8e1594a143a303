import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chosen, loadScenarios, requestBody, shortened, warmUpBody } from './scenario.ts';

const scenarios = loadScenarios(join(import.meta.dirname, 'scenarios'));
const names = (list: typeof scenarios) => list.map(({ name }) => name).sort();

describe('scenarios', () => {
  it('are all valid; what takes long runs only when it is named', () => {
    expect(names(scenarios)).toEqual(['I10000', 'M1000', 'P200', 'R500', 'S', 'U2', 'U20']);
    expect(names(chosen(scenarios, null))).toEqual(['M1000', 'P200', 'R500', 'S', 'U2', 'U20']);
    expect(names(chosen(scenarios, ['I10000', 'S']))).toEqual(['I10000', 'S']);
    expect(() => chosen(scenarios, ['U3'])).toThrow(/unknown scenario 'U3'; known: .*U2/);
  });

  it('make bodies of the size that they name, as JSON that any engine takes', () => {
    for (const scenario of scenarios) {
      for (const body of [requestBody(scenario), requestBody(shortened(scenario)), warmUpBody(scenario)]) {
        expect(body.length).toBe(scenario.bodyBytes);
        expect(JSON.parse(body.toString())).toMatchObject({
          stream: scenario.stream,
          messages: [{ role: 'user' }],
        });
      }
    }
  });
});
