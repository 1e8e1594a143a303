/** The tables of `docs/diagnosis.md`, from the taxonomy and the rules; the rest of the page is written by people. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { FAULT_CLASSES, FAULTS, STRATEGY_OF } from '../../src/contract/faults.ts';
import { LOGGED_ENGINES, readLogRuleFile, SHARED_LOG_RULES } from '../../src/drivers/engines/log-rules.ts';
import { fill, table } from './markdown.ts';

export const DIAGNOSIS_PAGE = 'docs/diagnosis.md';

export function diagnosisPage(): string {
  const path = DIAGNOSIS_PAGE;
  const text = readFileSync(resolve(import.meta.dirname, '../..', path), 'utf8');
  return fill({ path, text: fill({ path, text }, 'classes', classesTable()) }, 'rules', rulesTable());
}

const files = () =>
  [...LOGGED_ENGINES, ...SHARED_LOG_RULES].map((name) => ({ name, ...readLogRuleFile(name) }));

function classesTable(): string {
  const rules = files().flatMap(({ rules: some }) => some);
  const rows = FAULT_CLASSES.map((name) => {
    const { row, meaning, nature, restartHelps } = FAULTS[name];
    const shown = rules.filter(({ class: fault, role }) => fault === name && role !== 'advice').length;
    return [
      String(row),
      `\`${name}\``,
      meaning,
      `${nature}: ${STRATEGY_OF[nature]}`,
      restartHelps ? 'yes' : 'no',
      String(shown),
    ];
  });
  return table(['row', 'class', 'meaning', 'nature and strategy', 'a restart helps', 'log rules'], rows);
}

function rulesTable(): string {
  const rows = files().map(({ name, title, include, rules, markers, samples }) => [
    `\`${name}.yaml\``,
    title,
    String(rules.length),
    String(markers.length + samples.length),
    include.join(', '),
  ]);
  return table(['file', 'about', 'rules', 'markers and samples', 'includes'], rows);
}
