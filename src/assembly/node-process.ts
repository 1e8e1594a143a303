/**
 * Entry of the node process. Kept small so that the compile cache is on before anything else is loaded.
 *
 * Options: [--config FILE] [--instance ID] [--since MS] [--owner-fd N [--temporary]]. `autoglm serve` starts it; an init system may do so as well.
 */
import { parseArgs } from 'node:util';
import { useCompileCache } from './compile-cache.ts';

useCompileCache();
const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    instance: { type: 'string' },
    since: { type: 'string' },
    'owner-fd': { type: 'string' },
    temporary: { type: 'boolean' },
  },
});
const { runNode } = await import('./node-main.ts');
await runNode({
  configOption: values.config,
  instance: values.instance,
  sinceAtMs: values.since === undefined ? undefined : Number(values.since),
  owner:
    values['owner-fd'] === undefined
      ? undefined
      : { fd: Number(values['owner-fd']), temporary: values.temporary === true },
});
