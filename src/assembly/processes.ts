/** The processes of this machine, as the launcher and the node process see them. */
import type { ProcessHost } from '../contract/ports/process-host.ts';
import { createProcessHost } from '../drivers/process/local-process-host.ts';
import { readProcStat } from '../drivers/process/proc-stat.ts';
import { readEnvironment } from './config/environment.ts';

export function createProcesses(): ProcessHost {
  return createProcessHost({ environment: readEnvironment().variables });
}

/** When this process was started, in the clock that `ProcessIdentity` uses; 0 where the platform has none. */
export function ownStartTicks(): number {
  return readProcStat(process.pid)?.startTicks ?? 0;
}
