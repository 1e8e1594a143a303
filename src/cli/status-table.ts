/** The status of the system as text: pure, so that a test can read it. */
import type { GatewayStatus, PoolStatus, ReplicaStatus, SystemStatus } from '../contract/admin-api.ts';
import type { ReplicaState } from '../contract/fleet.ts';
import { clipLine, trimEnds, wrap } from './fit.ts';
import { plainTable } from './plain-table.ts';
import { type Colors, printable } from './terminal.ts';

export interface RenderOptions {
  colors: Colors;
  nowMs: number;
  /** Of the terminal; null: lines may be as long as they like. */
  width: number | null;
}

export function renderStatus(status: SystemStatus, options: RenderOptions): string {
  const { colors, width } = options;
  const { node } = status;
  const facts = [
    `node process ${node.pid}, up ${showSpan(options.nowMs - node.startedAtMs)}, ${node.adoptedEngines} engines adopted`,
    `config ${node.configPath ?? 'none (zero config)'}, state ${node.stateDir}`,
  ];
  const head = [
    `${colors.bold('autoglm')} ${status.release}   gateway ${colors.cyan(`${status.gatewayAddress}/v1`)}   admin ${colors.cyan(status.adminAddress)}`,
    ...facts.flatMap((fact) => paragraph(fact, options)),
  ];
  const text = [
    ...head,
    '',
    renderGateways(status.gateways, options),
    ...status.pools.flatMap((pool) => ['', renderPool(pool, options)]),
  ].join('\n');
  const lines = trimEnds(text).split('\n');
  return (width === null ? lines : lines.map((line) => clipLine(line, width))).join('\n');
}

/** Texts go on below where they are too long for the terminal. */
function paragraph(text: string, { colors, width }: RenderOptions): string[] {
  return (width === null ? [text] : wrap(text, width)).map((line) => colors.dim(line));
}

function renderGateways(gateways: readonly GatewayStatus[], { colors }: RenderOptions): string {
  const table = plainTable(['gateway', 'state', 'address', 'workers', 'in flight', 'queued', 'pid'], colors);
  for (const gateway of gateways) {
    const listening = gateway.workers.filter(({ state }) => state === 'listening').length;
    const restarts = gateway.workers.reduce((sum, worker) => sum + worker.restarts, 0);
    table.push([
      gateway.id,
      gateway.state === 'listening' ? colors.green(gateway.state) : colors.yellow(gateway.state),
      gateway.address.replace(/^https?:\/\//, ''),
      `${listening}/${gateway.workers.length}${restarts > 0 ? `, ${restarts} replaced` : ''}`,
      gateway.inFlight,
      gateway.queued,
      gateway.pid,
    ]);
  }
  return gateways.length === 0 ? colors.yellow('no gateway is running') : table.toString();
}

function renderPool(pool: PoolStatus, options: RenderOptions): string {
  const { colors, nowMs } = options;
  const all = pool.ready === pool.total;
  const paint = all ? colors.green : pool.ready === 0 ? colors.red : colors.yellow;
  const names = pool.aliases.length > 0 ? ` (also ${pool.aliases.join(', ')})` : '';
  const from = pool.leaving
    ? 'unloaded, finishes what runs'
    : pool.source === 'runtime'
      ? 'loaded at run time'
      : '';
  const origin = from === '' ? '' : `   ${colors.dim(from)}`;
  const title = `${colors.bold(printable(pool.model))}${names}${origin}   ${paint(`${pool.ready}/${pool.total} ready`)}   queued ${pool.queued}`;
  const table = plainTable(
    ['replica', 'engine', 'state', 'for', 'load', 'restarts', 'pid', 'incident'],
    colors,
  );
  for (const replica of pool.replicas) table.push(replicaRow(replica, colors, nowMs));
  const notes = pool.replicas.flatMap(notesOn).flatMap((note) => paragraph(note, options));
  return [title, table.toString(), ...notes].join('\n');
}

function replicaRow(replica: ReplicaStatus, colors: Colors, nowMs: number) {
  const incident = replica.lastIncident;
  return [
    printable(replica.id),
    replica.managed ? replica.engine : `${replica.engine} (external)`,
    paintState(replica.state, colors),
    showSpan(replica.stateForMs),
    `${replica.inFlight}/${replica.window}`,
    replica.restarts === 0 ? '0' : colors.yellow(String(replica.restarts)),
    replica.pid ?? '-',
    incident === null ? '-' : `${showSpan(nowMs - incident.atMs)} ago`,
  ];
}

function paintState(state: ReplicaState, colors: Colors): string {
  if (state === 'ready' || state === 'standby') return colors.green(state);
  if (state === 'quarantined' || state === 'backing-off' || state === 'unready') return colors.red(state);
  return colors.yellow(state);
}

/** Where the reason alone may not be enough to mend it. */
const LOG_TELLS: readonly ReplicaState[] = ['unready', 'backing-off', 'quarantined'];

/** Texts have lines of their own, whole: why a replica is not ready, and what happened last where that says more. */
function notesOn({ id, state, reason, lastIncident, logFile, speedShare = 1 }: ReplicaStatus): string[] {
  const name = printable(id);
  const why = oneLine(reason);
  const incident = lastIncident === null ? '' : oneLine(lastIncident.summary);
  return [
    ...(state === 'ready' || state === 'standby' ? [] : [`  ${name} is ${state}: ${why}`]),
    ...(speedShare < 1
      ? [`  ${name} is slower than its peers: it counts for ${Math.round(speedShare * 100)} % of its weight`]
      : []),
    ...(incident === '' || (state !== 'ready' && why.includes(incident))
      ? []
      : [`  ${name} last incident: ${incident}`]),
    ...(logFile !== null && LOG_TELLS.includes(state) ? [`  ${name} log: ${printable(logFile)}`] : []),
  ];
}

function oneLine(text: string): string {
  return printable(text).replace(/\s*\n\s*/g, ' ');
}

/** `850 ms`, `12 s`, `3 min`, `5 h`, `2 d`. */
export function showSpan(ms: number): string {
  const span = Math.max(0, ms);
  if (span < 1000) return `${Math.round(span)} ms`;
  if (span < 120_000) return `${Math.round(span / 1000)} s`;
  if (span < 7_200_000) return `${Math.round(span / 60_000)} min`;
  if (span < 172_800_000) return `${Math.round(span / 3_600_000)} h`;
  return `${Math.round(span / 86_400_000)} d`;
}
