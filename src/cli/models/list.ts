/** `autoglm models`: what is served, under which names, and whether it comes from the configuration or from run time. */
import type { ModelList, ModelStatus, SourcedName } from '../../contract/admin-api.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from '../command-context.ts';
import { plainTable } from '../plain-table.ts';
import { type Colors, printable } from '../terminal.ts';

export async function listModels(options: AdminOptions, context: CommandContext): Promise<void> {
  const found = await connectAdmin(options, context).models();
  const { terminal } = context;
  terminal.print(options.json ? JSON.stringify(found, null, 2) : renderModels(found, terminal.colors));
}

/** Pure, so that a test can read it. */
function renderModels({ models, notes }: ModelList, colors: Colors): string {
  const table = plainTable(['model', 'from', 'engine', 'ready', 'also', 'what'], colors);
  for (const model of models) {
    table.push([
      printable(model.model),
      model.source === 'file' ? 'configuration' : 'run time',
      model.engine,
      readiness(model, colors),
      printable(otherNames(model)) || '-',
      printable(model.what),
    ]);
  }
  const shown = models.length === 0 ? 'no model is served' : table.toString();
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
