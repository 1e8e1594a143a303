/** `autoglm models`: what is served, under which names, and whether it comes from the configuration or from run time. */
import { stripVTControlCharacters } from 'node:util';
import type { ModelList, ModelStatus, SourcedName } from '../../contract/admin-api.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from '../command-context.ts';
import { clipLine, shortenStart, trimEnds } from '../fit.ts';
import { plainTable } from '../plain-table.ts';
import { type Colors, printable, type Terminal } from '../terminal.ts';

export async function listModels(options: AdminOptions, context: CommandContext): Promise<void> {
  const found = await connectAdmin(options, context).models();
  const { terminal } = context;
  terminal.print(options.json ? JSON.stringify(found, null, 2) : renderModels(found, terminal));
}

const HEAD = ['model', 'from', 'engine', 'ready', 'also', 'what'] as const;
/** Blanks between two columns of `plainTable`. */
const GAP = 2;
const WHAT_MIN = 12;

/** Pure, so that a test can read it. */
export function renderModels(
  { models, notes }: ModelList,
  { colors, columns }: Pick<Terminal, 'colors' | 'columns'>,
): string {
  const table = plainTable([...HEAD], colors);
  const rows = models.map((model) => ({
    cells: [
      printable(model.model),
      model.source === 'file' ? 'configuration' : 'run time',
      model.engine,
      readiness(model, colors),
      printable(otherNames(model)) || '-',
    ],
    what: printable(model.what),
  }));
  // What a model is loaded from is the longest by far, and its end says most.
  const before = rows.map(({ cells }) => cells.map((cell) => stripVTControlCharacters(cell).length));
  const taken = HEAD.slice(0, -1).map((title, index) =>
    Math.max(title.length, ...before.map((lengths) => lengths[index] ?? 0)),
  );
  const used = taken.reduce((sum, width) => sum + width + GAP, 0);
  const room = columns === null ? Number.POSITIVE_INFINITY : Math.max(WHAT_MIN, columns - used);
  for (const { cells, what } of rows) table.push([...cells, shortenStart(what, room)]);
  const all = models.length === 0 ? 'no model is served' : trimEnds(table.toString());
  const shown =
    columns === null
      ? all
      : all
          .split('\n')
          .map((line) => clipLine(line, columns))
          .join('\n');
  const problems = models.flatMap(({ model, adapters }) =>
    adapters.flatMap(({ name, problem }) =>
      problem === null ? [] : [`adapter ${name} of ${model}: ${problem}`],
    ),
  );
  return [
    shown,
    ...problems.map((problem) => colors.red(printable(problem))),
    ...notes.map((note) => colors.yellow(`note: ${printable(note)}`)),
  ].join('\n');
}

function readiness({ state, ready, replicas, replicasInFile }: ModelStatus, colors: Colors): string {
  if (state === 'unloaded') return colors.dim('unloaded');
  if (state === 'leaving') return colors.yellow(`leaving (${replicas})`);
  const scaled = replicasInFile === null ? '' : ` (configuration: ${replicasInFile})`;
  const paint = ready === replicas ? colors.green : ready === 0 ? colors.red : colors.yellow;
  return paint(`${ready}/${replicas}${scaled}`);
}

function otherNames({ aliases, adapters, replicas }: ModelStatus): string {
  const at = ({ source }: SourcedName) => (source === 'runtime' ? ' (run time)' : '');
  return [
    ...aliases.map((alias) => `${alias.name}${at(alias)}`),
    ...adapters.map((adapter) => `adapter ${adapter.name}${at(adapter)} ${adapter.ready}/${replicas}`),
  ].join(', ');
}
