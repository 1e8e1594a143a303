/** `autoglm batches [list | show ID | cancel ID]`: batches of one key, by way of the gateway. */
import { type BatchSummary, createBatchClient } from '../client/batch-client.ts';
import { PlatformError } from '../contract/errors.ts';
import { type CommandContext, findGateway, type GatewayOptions } from './command-context.ts';
import { type Colors, printable } from './terminal.ts';

export interface BatchesOptions extends GatewayOptions {
  limit: number;
}

const ACTIONS = ['list', 'show', 'cancel'];
const PROBLEMS_SHOWN = 20;

export async function batches(
  action: string,
  id: string | undefined,
  options: BatchesOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal, environment } = context;
  if (!ACTIONS.includes(action))
    throw new PlatformError('invalid_request', `found "${action}"; would be right: ${ACTIONS.join(', ')}`);
  const client = createBatchClient(findGateway(options, environment));
  const print = (value: unknown, text: () => string) =>
    terminal.print(options.json ? JSON.stringify(value, null, 2) : text());
  if (action === 'list') {
    const list = await client.list(options.limit);
    return print(list, () => renderList(list));
  }
  if (id === undefined)
    throw new PlatformError('invalid_request', `\`autoglm batches ${action}\` needs the id of a batch`);
  const batch = action === 'show' ? await client.show(id) : await client.cancel(id);
  print(batch, () => renderBatch(batch, terminal.colors));
}

function renderList(list: readonly BatchSummary[]): string {
  if (list.length === 0) return 'no batches';
  return list
    .map((batch) => `${printable(batch.id)}  ${batch.status.padEnd(11)}  ${progress(batch)}`)
    .join('\n');
}

function renderBatch(batch: BatchSummary, colors: Colors): string {
  const time = (seconds: number) => new Date(seconds * 1000).toISOString();
  const lines = [
    `${colors.bold(printable(batch.id))}  ${batch.status}`,
    `endpoint  ${printable(batch.endpoint)}`,
    `created   ${time(batch.created_at)}, expires ${time(batch.expires_at)}`,
    `lines     ${progress(batch)}`,
  ];
  if (batch.output_file_id !== null) lines.push(`output    ${printable(batch.output_file_id)}`);
  if (batch.error_file_id !== null) lines.push(`errors    ${printable(batch.error_file_id)}`);
  for (const { line, message } of (batch.errors?.data ?? []).slice(0, PROBLEMS_SHOWN))
    lines.push(`${line === null ? 'input' : `line ${line}`}: ${printable(message)}`);
  return lines.join('\n');
}

function progress({ request_counts: { total, completed, failed } }: BatchSummary): string {
  return `${completed} of ${total} answered${failed > 0 ? `, ${failed} failed` : ''}`;
}
