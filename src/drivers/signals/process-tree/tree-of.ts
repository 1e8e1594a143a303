/** Which processes of the machine are those of an engine, and which were left behind by a former start of it. Pure. */
import type { SignalSubject } from '../../../contract/ports/signal-source.ts';
import { isDead } from '../../../wire/proc/proc-stat.ts';
import { isWorkerTitle } from './engine-programs.ts';
import type { ProcessSnapshot, SeenProcess } from './process-table.ts';

const INIT_PID = 1;

export interface EngineTree {
  /** Undefined: it has ended, or was never known. */
  main: SeenProcess | undefined;
  /** Main process, its group, what descends from them, and what wears the tag of this start; the dead are not among them. */
  members: ReadonlyMap<number, SeenProcess>;
}

export function treeOf(
  { byPid }: ProcessSnapshot,
  { process, ownerPrefix, generation }: SignalSubject,
): EngineTree {
  const atPid = process === null ? undefined : byPid.get(process.pid);
  const isOurs = atPid !== undefined && process !== null && isSame(atPid, process.startTicks);
  // The number of a group is not given away while it has members, so a stranger of that pid means that ours is empty.
  const groupId = process === null || (atPid !== undefined && !isOurs) ? null : process.pid;
  const tag = `${ownerPrefix}${generation}#`;
  const children = Map.groupBy(byPid.values(), ({ parentId }) => parentId);
  const members = new Map<number, SeenProcess>();
  const add = (seen: SeenProcess): void => {
    if (members.has(seen.pid)) return;
    members.set(seen.pid, seen);
    for (const child of children.get(seen.pid) ?? []) add(child);
  };
  for (const seen of byPid.values()) {
    if (seen.groupId === groupId || seen.owner?.startsWith(tag) === true) add(seen);
  }
  if (isOurs) add(atPid);
  for (const [pid, seen] of members) if (isDead(seen)) members.delete(pid);
  return { main: isOurs && !isDead(atPid) ? atPid : undefined, members };
}

/**
 * Processes with the tag of an older start; and those without a tag that call themselves as workers of engines do, whose parent
 * is gone, and that are older than the engine.
 */
export function orphansOf(
  { byPid }: ProcessSnapshot,
  { ownerPrefix, generation, process }: SignalSubject,
  { members }: EngineTree,
  commandOf: (process: SeenProcess) => string,
): SeenProcess[] {
  return [...byPid.values()].filter((seen) => {
    if (members.has(seen.pid) || isDead(seen)) return false;
    if (seen.owner !== undefined) {
      if (!seen.owner.startsWith(ownerPrefix)) return false;
      const itsGeneration = Number.parseInt(seen.owner.slice(ownerPrefix.length), 10);
      return itsGeneration < generation;
    }
    const isOlder = process !== null && seen.startTicks < process.startTicks;
    return isOlder && seen.parentId === INIT_PID && isWorkerTitle(commandOf(seen));
  });
}

function isSame({ startTicks }: SeenProcess, expectedTicks: number): boolean {
  return expectedTicks === 0 || startTicks === expectedTicks;
}
