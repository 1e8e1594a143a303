/**
 * What a supervisor that comes (back) to life tells the machine: records of its predecessor matched with the processes that
 * live. A process is the recorded one only when pid and start time agree: pids are used again. Processes without a record,
 * from between spawn and write, are known by their owner tag.
 */
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { RecoveryEvent } from './recovery-event.ts';
import type { ReplicaMemory } from './replica-memory.ts';

/** A living process of ours, as its owner tag describes it. */
export interface LivingProcess {
  replica: string;
  generation: number;
  launchHash: string;
  process: ProcessIdentity;
  /** Null where only the process itself will say. */
  url: string | null;
}

/** Events in the order in which the machine must get them; `configured` comes after. */
export function planAdoption(
  memories: readonly ReplicaMemory[],
  living: readonly LivingProcess[],
): RecoveryEvent[] {
  const events: RecoveryEvent[] = [];
  const taken = new Set<LivingProcess>();
  const adopt = (process: LivingProcess, memory: ReplicaMemory | null) => {
    taken.add(process);
    const { replica, generation, launchHash, url } = process;
    const knownUrl = memory?.process === null ? url : (memory?.url ?? url);
    events.push({
      type: 'adopted',
      replica,
      generation,
      process: process.process,
      url: knownUrl,
      launchHash,
      memory,
    });
  };

  const remembered = new Set(memories.map(({ id }) => id));
  for (const memory of memories) {
    const own = living.filter(({ replica }) => replica === memory.id);
    const recorded = own.find(({ process }) => isSame(process, memory.process));
    if (recorded !== undefined) {
      adopt(recorded, memory);
      continue;
    }
    const unrecorded = newest(own.filter(({ generation }) => isUnrecorded(generation, memory)));
    // What the record says about readiness, it says about another process.
    if (unrecorded !== undefined)
      adopt(unrecorded, { ...memory, process: null, state: 'starting', goal: lastingGoal(memory) });
    else events.push({ type: 'recalled', memory });
  }

  for (const id of new Set(living.map(({ replica }) => replica))) {
    const process = newest(living.filter(({ replica }) => replica === id));
    if (!remembered.has(id) && process !== undefined) adopt(process, null);
  }
  for (const stray of living) {
    if (taken.has(stray)) continue;
    const name = `${stray.replica} (stray pid ${stray.process.pid})`;
    events.push({ type: 'strayFound', name, generation: stray.generation, process: stray.process });
  }
  return events;
}

export function isSame(a: ProcessIdentity, b: ProcessIdentity | null): boolean {
  return b !== null && a.pid === b.pid && a.startTicks === b.startTicks;
}

/** The record knows of no process of this generation yet. */
function isUnrecorded(generation: number, memory: ReplicaMemory): boolean {
  return generation > memory.generation || (generation === memory.generation && memory.process === null);
}

/** A restart or an end for failing was meant for the process of the record. */
function lastingGoal({ goal }: ReplicaMemory): ReplicaMemory['goal'] {
  return goal === 'stop' || goal === 'remove' ? goal : 'run';
}

function newest(processes: readonly LivingProcess[]): LivingProcess | undefined {
  return processes.reduce<LivingProcess | undefined>(
    (best, process) => (best === undefined || process.generation > best.generation ? process : best),
    undefined,
  );
}
