import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Fact } from '../../contract/facts.ts';
import type { Incident } from '../../contract/incidents.ts';
import { reportMarkdown, reportPlainText } from '../../wire/incidents/report-text.ts';
import { foldFact, incidentsFrom } from './fold.ts';
import { reportOf } from './report.ts';

const root = join(import.meta.dirname, '../../..');

/** Of a real engine that hung under a load. */
function example(): Incident {
  const facts: Fact[] = JSON.parse(readFileSync(join(root, 'tests/corpus/incidents/hang.json'), 'utf8'));
  const [incident] = facts.reduce(foldFact, incidentsFrom([], 0)).incidents.values();
  if (incident === undefined) throw new Error('the facts hold no incident');
  return incident;
}

function about(over: Partial<Incident>): string {
  return reportMarkdown(reportOf({ ...example(), ...over }));
}

describe('the report', () => {
  it('is the one that docs/incidents.md shows', () => {
    const page = readFileSync(join(root, 'docs/incidents.md'), 'utf8');
    const shown = /^````markdown\n([\s\S]*?)^````$/m.exec(page)?.[1];
    expect(shown).toBe(reportMarkdown(reportOf(example())));
  });

  it('as text has the same, and no marks', () => {
    const text = reportPlainText(reportOf(example()));
    expect(text).not.toMatch(/\*\*|^#|\|/m);
    for (const part of ['WHAT TO DO NOW', 'to recover', 'restart_process', 'last sign of life', '+0.000 s'])
      expect(text).toContain(part);
    for (const line of text.split('\n').filter((one) => !one.includes('  ')))
      expect(line.length).toBeLessThanOrEqual(100);
  });

  it('cannot be spoilt by what engines and clients wrote', () => {
    const evil = 'a | b\n# heading <img src=x>\u001b[2J';
    const markdown = about({
      summary: evil,
      timeline: [{ atMs: 0, source: 'gateway', text: 'a | b\n# <b>' }],
      remedies: [
        {
          ...{ remedy: 'page', step: 1, because: evil, startedAtMs: 0 },
          ...{ endedAtMs: null, helped: null, detail: evil },
        },
      ],
    });
    expect(markdown).not.toMatch(/^# heading/m);
    expect(markdown).not.toContain('<img');
    expect(markdown).not.toContain('\u001b');
    expect(markdown).toContain('a \\| b # &lt;b&gt;');
  });

  it.each([
    [{ state: 'open' as const, closedAtMs: null }, 'Nothing yet: it is being dealt with'],
    [{ state: 'given-up' as const }, 'Then start it: `autoglm restart sim/0`.'],
    [{ state: 'stood-down' as const }, 'Nothing: it was ended from outside'],
    [{ drill: 'hang' }, 'brought about by the drill hang'],
    [{ remedies: [], evidence: null }, 'None was tried.'],
  ])('says of %o what follows: %s', (over, expected) => {
    expect(about(over)).toContain(expected);
  });

  it('tells who reads it what a remedy that still holds means, and how it is taken back', () => {
    const [trial] = example().remedies;
    const remedies = [{ ...trial!, remedy: 'fallback_path', helped: true }];
    expect(about({ remedies })).toContain(
      'The remedy fallback_path is still in force: the same, over the slower way between GPUs',
    );
    expect(about({ remedies })).toContain('`autoglm restart sim/0`');
  });

  it('of an unknown fault sends to the evidence', () => {
    const diagnosis = { class: 'unknown', confidence: 0.3, evidence: [], ruledOut: [] };
    const markdown = about({ state: 'given-up', diagnosis });
    expect(markdown).toContain('look at the evidence (`autoglm incidents evidence inc_');
    expect(markdown).toContain('something is wrong, and it is not known what');
  });
});
