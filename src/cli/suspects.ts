/** `autoglm suspects [list | show FINGERPRINT | release FINGERPRINT]`: requests that were in flight when engines died. */
import { PlatformError } from '../contract/errors.ts';
import type { SuspectRecord } from '../contract/suspects.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from './command-context.ts';
import { plainTable } from './plain-table.ts';
import { reportAction } from './report-action.ts';
import { type Colors, printable } from './terminal.ts';

const ACTIONS = ['list', 'show', 'release'];
/** Enough to tell them apart, and to type. */
const SHORT = 12;

const MEANINGS: Record<SuspectRecord['status'], string> = {
  suspected: 'was there when an engine died; is sent again with care',
  accused: 'was there when engines of two replicas died; is sent only where it is alone',
  held: 'as accused, and no replica could be spared to try it; is refused with 422',
  convicted: 'an engine died while it was alone there; is refused with 422',
  released: 'counts as harmless',
};

export async function suspects(
  action: string,
  fingerprint: string | undefined,
  options: AdminOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  if (!ACTIONS.includes(action))
    throw new PlatformError('invalid_request', `found "${action}"; would be right: ${ACTIONS.join(', ')}`);
  const client = connectAdmin(options, context);
  const print = (value: unknown, text: () => string) =>
    terminal.print(options.json ? JSON.stringify(value, null, 2) : text());
  if (action === 'list') {
    const list = await client.suspects();
    return print(list, () => renderList(list, terminal.colors));
  }
  if (fingerprint === undefined)
    throw new PlatformError('invalid_request', `\`autoglm suspects ${action}\` needs a fingerprint`);
  if (action === 'release') return reportAction(await client.releaseSuspect(fingerprint), options, context);
  const record = await client.suspect(fingerprint);
  print(record, () => renderSuspect(record, terminal.colors));
}

function renderList(list: readonly SuspectRecord[], colors: Colors): string {
  if (list.length === 0) return 'no suspect requests';
  const table = plainTable(['FINGERPRINT', 'STATUS', 'MODEL', 'CRASHES', 'UNTIL'], colors);
  for (const { fingerprint, status, model, crashes, expiresAtMs } of list) {
    const until = new Date(expiresAtMs).toISOString();
    table.push([fingerprint.slice(0, SHORT), status, printable(model), String(crashes.length), until]);
  }
  return table.toString();
}

function renderSuspect(record: SuspectRecord, colors: Colors): string {
  const { fingerprint, status, model, endpoint, requestId, crashes, expiresAtMs } = record;
  const time = (atMs: number) => new Date(atMs).toISOString();
  return [
    `${colors.bold(fingerprint)}  ${status}`,
    `meaning   ${MEANINGS[status]}`,
    `request   ${printable(endpoint)}, model ${printable(model)}, last seen as ${printable(requestId)}`,
    `until     ${time(expiresAtMs)}`,
    ...crashes.map(
      ({ replica, generation, atMs, alone }) =>
        `crash     ${time(atMs)}  ${printable(replica)}, start ${generation}${alone ? ', alone' : ''}`,
    ),
  ].join('\n');
}
