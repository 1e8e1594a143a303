/**
 * Entry of a gateway process. Kept small so that the compile cache is on before anything else is loaded.
 *
 * Options: --id NAME --snapshot FILE [--stale] --log FILE [--state DIR] [--socket PATH]... [--beside] [--enable-faults]
 */
import { parseArgs } from 'node:util';
import { useCompileCache } from './compile-cache.ts';

useCompileCache();
// Output that can not be written, on a full disk, must not end us.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
const { values } = parseArgs({
  options: {
    id: { type: 'string', default: 'gw' },
    snapshot: { type: 'string' },
    log: { type: 'string' },
    state: { type: 'string' },
    stale: { type: 'boolean', default: false },
    socket: { type: 'string', multiple: true, default: [] },
    beside: { type: 'boolean', default: false },
    'enable-faults': { type: 'boolean', default: false },
  },
});
if (values.snapshot === undefined || values.log === undefined) {
  process.stderr.write('gateway-process: --snapshot FILE and --log FILE are needed\n');
  process.exit(2);
}
const { runGateway } = await import('./gateway-main.ts');
await runGateway({
  id: values.id,
  snapshotFile: values.snapshot,
  isSnapshotStale: values.stale,
  logFile: values.log,
  stateDir: values.state ?? null,
  socketPaths: values.socket,
  beside: values.beside,
  enableFaults: values['enable-faults'],
});
