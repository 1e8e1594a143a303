/** Starts one process by the process host and ends: `node start-and-end.ts DIRECTORY OWNER`. */
import { join } from 'node:path';
import { createProcessHost } from '../../src/drivers/process/local-process-host.ts';

const [, , directory = '.', owner = ''] = process.argv;
await createProcessHost({ environment: process.env }).spawn({
  command: process.execPath,
  args: ['-e', 'setInterval(() => {}, 1000)'],
  env: {},
  cwd: directory,
  logFile: join(directory, 'outlives.log'),
  owner,
});
