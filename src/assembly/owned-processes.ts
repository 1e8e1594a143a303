/** How the launcher finds the processes of this installation: by their owner tags, and by the records of gateways and engines. */
import { systemClock } from '../base/clock.ts';
import { openGatewayStore } from '../drivers/storage/gateway-store.ts';
import { openReplicaRecords } from '../drivers/storage/replica-records.ts';
import type { StatePaths } from './config/state-paths.ts';
import type { OwnedProcesses } from './end-processes.ts';
import { createProcesses } from './processes.ts';

export function ownedProcesses(paths: StatePaths): OwnedProcesses {
  return {
    processHost: createProcesses(),
    clock: systemClock,
    instance: paths.instance,
    recorded: async () => {
      const { records } = await openReplicaRecords(paths.engineDir).readAll();
      const engines = records.flatMap(({ process }) => (process === null ? [] : [process]));
      const gateways = openGatewayStore(paths.root).readRecords();
      return [...engines, ...gateways.map(({ identity }) => identity)];
    },
  };
}
