/** `docs/reference/configuration.md` and the JSON Schema for editors, from the zod schema. */
import {
  configJsonSchema,
  describeExpectation,
  type SchemaNode,
} from '../../src/assembly/config/expectation.ts';
import { GENERATED_BY, table } from './markdown.ts';

/** Schema of `autoglm.yaml` for editors (`# yaml-language-server: $schema=...`). */
export function configurationJsonSchema(): string {
  return publishedSchema('autoglm.yaml', configJsonSchema());
}

export function publishedSchema(title: string, node: SchemaNode): string {
  const { $schema, ...rest } = node as SchemaNode & { $schema?: string };
  return `${JSON.stringify({ $schema, $comment: GENERATED_BY, title, ...rest }, null, 2)}\n`;
}

export function configurationPage(): string {
  const { properties = {} } = configJsonSchema();
  const isSection = (node: SchemaNode) => node.type === 'object' || node.type === 'array';
  const topLevel = Object.entries(properties).filter(([, node]) => !isSection(node));
  const sections = Object.entries(properties).filter(([, node]) => isSection(node));
  return [
    `<!-- ${GENERATED_BY} -->`,
    '# Configuration: autoglm.yaml',
    '',
    'One file. `--config FILE` names it, else the environment variable AUTOGLM_CONFIG, else `./autoglm.yaml`; without any, the built-in demo model is served by two embedded replicas. Unknown keys are errors, and every message names file, line, column, path, the value found and what would be right. `autoglm validate` checks a file without starting anything.',
    '',
    '`${NAME}` in a value stands for an environment variable, `${NAME:-default}` has a default, `$${` is a plain `${`. Keys (`key`, `api_key`) are never printed. For completion in editors begin the file with `# yaml-language-server: $schema=docs/reference/autoglm.schema.json`.',
    '',
    '## Environment',
    '',
    table(
      ['variable', 'meaning'],
      [
        ['`AUTOGLM_CONFIG`', 'Path of the configuration file.'],
        ['`AUTOGLM_STATE_DIR`', 'State directory, when the file does not name one.'],
        [
          '`AUTOGLM_API_KEYS`',
          'Keys that clients of the gateway may use, comma-separated, beside `gateway.keys`.',
        ],
        [
          '`AUTOGLM_KEY`, `AUTOGLM_ADMIN_KEY`',
          'One key each, for commands that talk to the gateway or to the admin API ([command line](cli.md#keys)). They configure nothing.',
        ],
        ['`PORT`', 'Port of the gateway; goes before `gateway.port`.'],
        ['`AUTOGLM_HOST`', 'Address of the gateway; goes before `gateway.host`.'],
        [
          '`AUTOGLM_MODEL`',
          'GGUF file or `hf:` address that two replicas of the embedded engine serve instead of `models`.',
        ],
        [
          '`AUTOGLM_MODELS_DIR`',
          'Where models named by `hf:` addresses are kept; else `$XDG_CACHE_HOME/autoglm/models`.',
        ],
        ['`NO_COLOR`', 'Any text turns colours in the terminal off.'],
      ],
    ),
    '',
    '## Top level',
    '',
    keysTable(topLevel, []),
    ...sections.flatMap(([name, node]) => ['', ...section(name, node)]),
    '',
    '## Limits',
    '',
    'At most 128 models, and at most 512 replicas in all: `replicas`, `standby` and `urls` of all models together. `limits` of at most 16384 keys, models of keys, and models together.',
    '',
    '## Times must agree',
    '',
    '`connect_ms` ≤ `first_token_ms` ≤ `inference_timeout_ms`; `stall_ms` and `queue_timeout_ms` ≤ `inference_timeout_ms`; `probe_timeout_ms` ≤ `probe_interval_ms`; `backoff_initial_ms` ≤ `backoff_max_ms`. A value that you write and that contradicts another is an error; a default gives way.',
    '',
  ].join('\n');
}

/** The keys of one section, with a heading. */
export function section(name: string, node: SchemaNode): string[] {
  const inner = node.type === 'array' ? node.items : node;
  const title = node.type === 'array' ? `${name}[]` : name;
  const lines = [`## ${title}`, ''];
  if (node.description !== undefined) lines.push(node.description, '');
  lines.push(keysTable(Object.entries(inner?.properties ?? {}), inner?.required ?? []));
  return lines;
}

function keysTable(entries: [string, SchemaNode][], required: string[]): string {
  const rows = entries.flatMap(([key, node]) => keyRows(key, key, node, required));
  return table(['key', 'value', 'default', 'meaning'], rows);
}

/** A key, and what stands below it. */
function keyRows(shown: string, key: string, node: SchemaNode, required: string[]): string[][] {
  const below = (inner: SchemaNode, place: string) =>
    Object.entries(inner.properties ?? {}).flatMap(([innerKey, innerNode]) =>
      keyRows(`${place}.${innerKey}`, innerKey, innerNode, inner.required ?? []),
    );
  const row = (value: string) => [
    `\`${shown}\``,
    value,
    defaultOf(key, node, required),
    node.description ?? '',
  ];
  const { items, additionalProperties } = node;
  if (items?.properties !== undefined) return [row('a list of maps'), ...below(items, `${shown}[]`)];
  if (typeof additionalProperties === 'object' && additionalProperties.properties !== undefined)
    return [row('a map of names to maps'), ...below(additionalProperties, `${shown}.NAME`)];
  if (node.properties !== undefined) return [row('a map'), ...below(node, shown)];
  return [row(describeExpectation(node))];
}

function defaultOf(key: string, node: SchemaNode, required: string[]): string {
  if (required.includes(key)) return 'required';
  return node.default === undefined ? '' : `\`${JSON.stringify(node.default)}\``;
}
