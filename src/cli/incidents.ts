/** `autoglm incidents [list | show ID | evidence ID]`: what went wrong with replicas, and what was done about it. */
import { spanText } from '../base/span-text.ts';
import { PlatformError } from '../contract/errors.ts';
import type { EvidenceBundle, IncidentEvidence, IncidentSummary } from '../contract/incident-report.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from './command-context.ts';
import { plainTable } from './plain-table.ts';
import { type Colors, printable } from './terminal.ts';

const ACTIONS = ['list', 'show', 'evidence'];

export interface IncidentOptions extends AdminOptions {
  limit: number;
  markdown?: boolean;
}

export async function incidents(
  action: string,
  id: string | undefined,
  options: IncidentOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  if (!ACTIONS.includes(action))
    throw new PlatformError('invalid_request', `found "${action}"; would be right: ${ACTIONS.join(', ')}`);
  const client = connectAdmin(options, context);
  const printJson = (value: unknown) => terminal.print(JSON.stringify(value, null, 2));
  if (action === 'list') {
    const list = await client.incidents(options.limit);
    if (options.json) return printJson(list);
    return terminal.print(renderIncidents(list, { colors: terminal.colors, nowMs: Date.now() }));
  }
  if (id === undefined)
    throw new PlatformError('invalid_request', `\`autoglm incidents ${action}\` needs the id of an incident`);
  if (action === 'evidence') {
    const evidence = await client.incidentEvidence(id);
    return options.json ? printJson(evidence) : terminal.print(renderEvidence(evidence, terminal.colors));
  }
  if (options.json) return printJson(await client.incident(id));
  const report = await client.incidentReport(id, options.markdown ? 'markdown' : 'text');
  // A report names our commands: as this one was started, for a person; as they are, in a document.
  if (options.markdown) terminal.write(printable(report));
  else terminal.tell(printable(report).trimEnd());
}

export function renderIncidents(
  list: readonly IncidentSummary[],
  { colors, nowMs }: { colors: Colors; nowMs: number },
): string {
  if (list.length === 0) return 'no incidents';
  const head = ['ID', 'STATE', 'CLASS', 'REPLICA', 'AGE', 'DETECTED', 'ISOLATED', 'RECOVERED', 'FAILED'];
  const table = plainTable(head, colors);
  const time = (ms: number | null) => (ms === null ? '-' : spanText(ms));
  for (const { id, state, class: found, replica, openedAtMs, times, requestsFailed } of list) {
    table.push([
      id,
      stateColor(state, colors)(state),
      printable(found),
      printable(replica),
      spanText(Math.max(0, nowMs - openedAtMs)),
      time(times.detectMs),
      time(times.isolateMs),
      time(times.recoverMs),
      String(requestsFailed),
    ]);
  }
  return table.toString();
}

function stateColor(state: IncidentSummary['state'], colors: Colors): (text: string) => string {
  if (state === 'recovered') return colors.green;
  if (state === 'given-up') return colors.red;
  return state === 'stood-down' ? colors.dim : colors.yellow;
}

export function renderEvidence({ incident, bundles }: IncidentEvidence, colors: Colors): string {
  if (bundles.length === 0) return `no evidence of ${incident} was taken, or it is deleted already`;
  return bundles.map((bundle) => renderBundle(bundle, colors)).join('\n\n');
}

function renderBundle({ path, manifest }: EvidenceBundle, colors: Colors): string {
  const { takenAtMs, tookMs, parts, replica, generation } = manifest;
  const table = plainTable(['PART', 'STATE', 'BYTES', 'FILE', 'WHY'], colors);
  for (const { name, state, bytes, file, why } of parts)
    table.push([name, state, String(bytes), file ?? '-', printable(why ?? '')]);
  return [
    `${colors.bold(path ?? 'not on disk')}`,
    `of ${printable(replica)}, start ${generation}, taken ${new Date(takenAtMs).toISOString()} within ${tookMs} ms`,
    table.toString(),
  ].join('\n');
}
