import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadScenarios, requestBody, shortened } from './scenario.ts';

const scenarios = loadScenarios(join(import.meta.dirname, 'scenarios'));

describe('scenarios', () => {
  it('are U2, P200, S and R500, all valid', () => {
    expect(scenarios.map(({ name }) => name).sort()).toEqual(['P200', 'R500', 'S', 'U2']);
  });

  it('make bodies of the size that they name, as JSON that any engine takes', () => {
    for (const scenario of scenarios) {
      const body = requestBody(scenario);
      expect(body.length).toBe(scenario.bodyBytes);
      expect(JSON.parse(body.toString())).toMatchObject({
        stream: scenario.stream,
        messages: [{ role: 'user' }],
      });
      expect(requestBody(shortened(scenario)).length).toBe(scenario.bodyBytes);
    }
  });
});
