/**
 * The status page, in one text without outside parts: pools and replicas with state and reason, gateways, incidents, recent
 * facts. Data
 * enters the page as text nodes only, so what engines and users wrote cannot become markup.
 */

export const STATUS_PAGE_STYLE = `
:root { color-scheme: light dark; --line: #8884; --dim: #7a7a7a; --good: #1a7f37; --warm: #9a6700; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --dim: #9a9a9a; --good: #3fb950; --warm: #d29922; --bad: #f85149; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; }
.dim { color: var(--dim); }
.good { color: var(--good); }
.warm { color: var(--warm); }
.bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { color: var(--dim); font-weight: normal; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
input { font: inherit; padding: .2rem .4rem; }
`;

export const STATUS_PAGE_SCRIPT = `
'use strict';
const REFRESH_MS = 2000;
const keyName = 'autoglm-admin-key';
const byId = (id) => document.getElementById(id);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

function table(head, rows) {
  const made = element('table');
  const headRow = made.createTHead().insertRow();
  for (const title of head) headRow.append(element('th', title));
  const body = made.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const cell of cells) {
      const [text, className] = Array.isArray(cell) ? cell : [cell, typeof cell === 'number' ? 'number' : ''];
      row.append(element('td', text, className));
    }
  }
  const box = element('div', undefined, 'scroll');
  box.append(made);
  return box;
}

function span(ms) {
  if (ms < 1000) return Math.max(0, Math.round(ms)) + ' ms';
  if (ms < 120000) return Math.round(ms / 1000) + ' s';
  if (ms < 7200000) return Math.round(ms / 60000) + ' min';
  if (ms < 172800000) return Math.round(ms / 3600000) + ' h';
  return Math.round(ms / 86400000) + ' d';
}

function stateClass(state) {
  if (state === 'ready' || state === 'listening') return 'good';
  return ['quarantined', 'backing-off', 'unready', 'away'].includes(state) ? 'bad' : 'warm';
}

function showPool(pool) {
  const level = pool.ready === pool.total ? 'good' : pool.ready === 0 ? 'bad' : 'warm';
  const title = element('h2', pool.model + ' ');
  title.append(element('span', pool.ready + '/' + pool.total + ' ready', level));
  const aliases = pool.aliases.length > 0 ? 'also ' + pool.aliases.join(', ') + '; ' : '';
  const rows = pool.replicas.map((replica) => [
    replica.id,
    replica.engine + (replica.managed ? '' : ' (external)'),
    [replica.state, stateClass(replica.state)],
    span(replica.stateForMs),
    replica.inFlight + '/' + replica.window,
    replica.restarts,
    replica.pid === null ? '-' : replica.pid,
    replica.lastIncident === null ? '-' : replica.lastIncident.summary + ', ' + span(Date.now() - replica.lastIncident.atMs) + ' ago',
    replica.reason + (replica.speedShare === undefined ? '' : '; slower than its peers, counts for ' + Math.round(replica.speedShare * 100) + ' %'),
  ]);
  const head = ['replica', 'engine', 'state', 'for', 'load', 'restarts', 'pid', 'last incident', 'reason'];
  return [title, element('p', aliases + pool.queued + ' queued', 'dim'), table(head, rows)];
}

function showStatus(status) {
  byId('head').replaceChildren(
    element('p', 'Gateway ' + status.gatewayAddress + '/v1, release ' + status.release),
    element('p', 'node process ' + status.node.pid + ', up ' + span(Date.now() - status.node.startedAtMs) + ', ' + status.node.adoptedEngines + ' engines adopted, state ' + status.node.stateDir, 'dim'),
  );
  byId('pools').replaceChildren(...status.pools.flatMap(showPool));
  const rows = status.gateways.map((gateway) => [
    gateway.id,
    [gateway.state, stateClass(gateway.state)],
    gateway.address,
    gateway.workers.filter((worker) => worker.state === 'listening').length + '/' + gateway.workers.length,
    gateway.inFlight,
    gateway.queued,
    gateway.pid,
  ]);
  const head = ['gateway', 'state', 'address', 'workers', 'in flight', 'queued', 'pid'];
  byId('gateways').replaceChildren(element('h2', 'Gateways'), table(head, rows));
}

function showIncidents(incidents) {
  const rows = incidents.map((incident) => [
    new Date(incident.openedAtMs).toLocaleTimeString(),
    [incident.state, incident.state === 'recovered' ? 'good' : incident.state === 'given-up' ? 'bad' : 'warm'],
    incident.class,
    incident.replica,
    incident.times.recoverMs === null ? '-' : span(incident.times.recoverMs),
    incident.requestsFailed,
    incident.id,
    incident.summary,
  ]);
  const head = ['opened', 'state', 'class', 'replica', 'recovered after', 'failed requests', 'id', 'summary'];
  byId('incidents').replaceChildren(element('h2', 'Incidents'), rows.length > 0 ? table(head, rows) : element('p', 'none', 'dim'));
}

function showFacts(facts) {
  const rows = facts.map(({ type, atMs, ...rest }) => [
    new Date(atMs).toLocaleTimeString(),
    type,
    Object.entries(rest).map(([name, value]) => name + ' ' + value).join(', '),
  ]);
  byId('facts').replaceChildren(element('h2', 'Recent facts'), rows.length > 0 ? table(['time', 'fact', 'detail'], rows) : element('p', 'none', 'dim'));
}

async function ask(path) {
  const key = sessionStorage.getItem(keyName);
  const response = await fetch(path, { headers: key ? { authorization: 'Bearer ' + key } : {}, signal: AbortSignal.timeout(5000) });
  if (response.status === 401) byId('login').hidden = false;
  const body = await response.json();
  if (!response.ok) throw new Error(body.error ? body.error.message : 'HTTP ' + response.status);
  return body;
}

async function refresh() {
  try {
    if (!document.hidden) {
      showStatus(await ask('/api/v1/status'));
      showIncidents((await ask('/api/v1/incidents?limit=5')).incidents);
      showFacts((await ask('/api/v1/facts?limit=20')).facts);
      byId('login').hidden = true;
    }
    byId('fault').textContent = '';
  } catch (error) {
    byId('fault').textContent = 'No answer: ' + error.message;
  }
  setTimeout(refresh, REFRESH_MS);
}

byId('key').addEventListener('change', (event) => sessionStorage.setItem(keyName, event.target.value.trim()));
refresh();
`;

export function statusPageHtml(): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>autoglm status</title>
<style>${STATUS_PAGE_STYLE}</style>
</head>
<body>
<h1>autoglm</h1>
<p id="fault" class="bad" role="status"></p>
<p id="login" hidden><label>Admin key <input id="key" type="password" autocomplete="off"></label></p>
<div id="head"></div>
<div id="pools"></div>
<div id="gateways"></div>
<div id="incidents"></div>
<div id="facts"></div>
<script>${STATUS_PAGE_SCRIPT}</script>
</body>
</html>
`;
}
