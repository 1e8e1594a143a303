/** The processes of this machine, as the launcher and the node process see them. */
import type { ProcessHost, ProcessIdentity } from '../contract/ports/process-host.ts';
import { createProcessHost, type ProcessHostOptions } from '../drivers/process/local-process-host.ts';
import { readProcStat } from '../drivers/process/proc-stat.ts';
import { readEnvironment } from './config/environment.ts';

export function createProcesses(onProblem?: ProcessHostOptions['onProblem']): ProcessHost {
  const environment = readEnvironment().variables;
  return createProcessHost({ environment, ...(onProblem !== undefined && { onProblem }) });
}

/** Start times are in the clock that `ProcessIdentity` uses; 0 where the platform has none. */
export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTicks: readProcStat(pid)?.startTicks ?? 0 };
}
