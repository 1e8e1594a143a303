/** What a supervisor finds when it comes to life: records on disk and processes with our tag, put before the machine. */
import type { ProcessHost } from '../../contract/ports/process-host.ts';
import type { ReplicaRecord } from '../../contract/ports/replica-records.ts';
import { isSame, type LivingProcess, planAdoption } from '../../decide/recovery/adoption-plan.ts';
import type { RecoveryEvent } from '../../decide/recovery/recovery-event.ts';
import { engineUrl } from './launch-replica.ts';
import { ownerPrefix, parseOwner } from './owner-tag.ts';
import { type Moment, toMemory } from './record-times.ts';
import type { SupervisorOptions } from './supervisor-options.ts';

export function bootEvents(
  { processHost, paths }: Pick<SupervisorOptions, 'processHost' | 'paths'>,
  records: readonly ReplicaRecord[],
  now: Moment,
  waitMaxMs: number,
): RecoveryEvent[] {
  const tagged = taggedProcesses(processHost, paths.instance);
  const known = records
    .map((record) => recordedProcess(processHost, record))
    .filter((process) => process !== null)
    .filter(({ process }) => !tagged.some((other) => isSame(other.process, process)));
  const memories = records.map((record) => toMemory(record, now, waitMaxMs));
  return planAdoption(memories, [...tagged, ...known]);
}

function taggedProcesses(processHost: ProcessHost, instance: string): LivingProcess[] {
  const living: LivingProcess[] = [];
  for (const { identity, owner } of processHost.findOwned(ownerPrefix(instance))) {
    const tag = parseOwner(instance, owner);
    if (tag === undefined) continue;
    const { replica, generation, launchHash, port } = tag;
    living.push({
      replica,
      generation,
      launchHash,
      process: identity,
      url: port === 0 ? null : engineUrl(port),
    });
  }
  return living;
}

/** Engines that overwrite their environment hide their tag, and some systems show none: the record says the same. */
function recordedProcess(processHost: ProcessHost, record: ReplicaRecord): LivingProcess | null {
  const { id, generation, launchHash, process, url } = record;
  if (process === null || !processHost.isAlive(process)) return null;
  return { replica: id, generation, launchHash, process, url };
}
