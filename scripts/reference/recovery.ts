/** The keys of `auto-recovery.yaml`, its JSON Schema, and the tables of `docs/auto-recovery.md`; the rest of that page is written by people. */
import { recoveryJsonSchema } from '../../src/assembly/config/expectation.ts';
import { ladderRows } from '../../src/assembly/config/recovery-text.ts';
import { resolveRecovery } from '../../src/assembly/config/resolve-recovery.ts';
import { FAULT_GROUP_NAMES, FAULT_GROUPS } from '../../src/contract/fault-groups.ts';
import { FAULTS } from '../../src/contract/faults.ts';
import { REMEDIES, REMEDY_NAMES } from '../../src/contract/remedies.ts';
import { REMEDY_SYNONYMS } from '../../src/contract/remedy-words.ts';
import { publishedSchema, section } from './configuration.ts';
import { fillPage, GENERATED_BY, table } from './markdown.ts';

export const RECOVERY_PAGE = 'docs/auto-recovery.md';

export function recoveryFileSchemaText(): string {
  return publishedSchema('auto-recovery.yaml', recoveryJsonSchema());
}

export function recoveryFilePage(): string {
  const { properties = {} } = recoveryJsonSchema();
  return [
    `<!-- ${GENERATED_BY} -->`,
    '# Recovery policy: auto-recovery.yaml',
    '',
    'What the keys mean together, with examples: [auto-recovery.md](../auto-recovery.md). All keys may be left out. `autoglm validate auto-recovery.yaml` checks a file. For completion in editors begin it with `# yaml-language-server: $schema=docs/reference/auto-recovery.schema.json`.',
    '',
    'A time is a number and a unit: `500ms`, `2s`, `1m`, `1h`. A number alone is of milliseconds. In `autoglm.yaml` the same keys stand below `auto_recovery`.',
    ...Object.entries(properties).flatMap(([name, node]) => ['', ...section(name, node)]),
    '',
  ].join('\n');
}

export function recoveryPage(): string {
  const tables = { ladders: laddersTable(), remedies: remediesTable(), groups: groupsTable() };
  return fillPage(RECOVERY_PAGE, tables);
}

function laddersTable(): string {
  const rows = ladderRows(resolveRecovery(undefined)).map(({ class: name, ladder }) => [
    `\`${name}\``,
    ladder,
    name === 'unknown' ? 'something is wrong, and no class is likely' : FAULTS[name].meaning,
  ]);
  return table(['class', 'remedies, in their order', 'meaning'], rows);
}

function remediesTable(): string {
  const rows = REMEDY_NAMES.map((name) => {
    const { meaning, precondition, verification, undo } = REMEDIES[name];
    const words = Object.keys(REMEDY_SYNONYMS).filter((word) => REMEDY_SYNONYMS[word] === name);
    return [`\`${name}\``, meaning, precondition, verification, undo ?? '', words.join(', ')];
  });
  return table(['remedy', 'what is done', 'only if', 'it helped when', 'taken back by', 'other words'], rows);
}

function groupsTable(): string {
  const rows = FAULT_GROUP_NAMES.map((name) => [`\`${name}\``, FAULT_GROUPS[name].join(', ')]);
  return table(['group', 'classes'], rows);
}
