/**
 * The processes of the pretended node, by pid. There are few pids, so that they are used again soon, by processes of ours and
 * by those of others.
 */
import type { Random } from '../../base/random.ts';
import type { ProcessHost, ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { ReplicaRecord } from '../../contract/ports/replica-records.ts';
import { ownerText } from '../../planes/supervisor/owner-tag.ts';
import { INSTANCE } from './machine.ts';
import { drawProcess, type PretendProcess } from './pretend-process.ts';
import { Violation } from './safety.ts';

const PIDS = 24;
const STRANGER = 'a stranger';

export class ProcessTable {
  readonly #random: Random;
  readonly #byPid = new Map<number, PretendProcess>();
  #startTicks = 1;

  constructor(random: Random) {
    this.#random = random;
  }

  values(): IterableIterator<PretendProcess> {
    return this.#byPid.values();
  }

  get(pid: number): PretendProcess | undefined {
    return this.#byPid.get(pid);
  }

  /** Processes that run, and are not somebody else's. */
  ours(): PretendProcess[] {
    return [...this.values()].filter(({ alive, replica }) => alive && replica !== STRANGER);
  }

  of(replica: string, generation: number): PretendProcess | undefined {
    return [...this.values()].find((one) => one.replica === replica && one.generation === generation);
  }

  newestOf(replica: string): PretendProcess | undefined {
    let newest: PretendProcess | undefined;
    for (const one of this.values())
      if (one.replica === replica && one.generation >= (newest?.generation ?? 0)) newest = one;
    return newest;
  }

  add(process: PretendProcess): void {
    this.#byPid.set(process.identity.pid, process);
  }

  newIdentity(): ProcessIdentity {
    for (;;) {
      const pid = 100 + this.#random.int(PIDS);
      if (this.get(pid)?.alive !== true) return { pid, startTicks: this.#startTicks++ };
    }
  }

  /** Somebody else's process gets the pid. */
  letStrangerIn(pid: number, startedMs: number): PretendProcess {
    const identity = { pid, startTicks: this.#startTicks++ };
    const start = { identity, replica: STRANGER, generation: 0, launchHash: '0', startedMs };
    const stranger = drawProcess(this.#random, null, start);
    this.add(stranger);
    return stranger;
  }

  /** The process list, as far as a supervisor reads it when it starts. */
  host(disk: ReadonlyMap<string, ReplicaRecord>): ProcessHost {
    const never = () => {
      throw new Violation('the world carries out orders, not the pretended process host');
    };
    return {
      spawn: never,
      signalGroup: never,
      onExit: never,
      killOwned: never,
      isAlive: ({ pid, startTicks }) => {
        const process = this.get(pid);
        return process?.alive === true && process.identity.startTicks === startTicks;
      },
      findOwned: () =>
        this.ours()
          .filter((process) => !isHidden(process, disk))
          .map(({ identity, replica, generation, launchHash }) => ({
            identity,
            owner: ownerText(INSTANCE, { replica, generation, launchHash, port: 1 }),
          })),
    };
  }
}

/** Nobody could find a process that has neither tag nor record, so a tag is lost only after the record was written. */
function isHidden(
  { hidesTag, replica, identity }: PretendProcess,
  disk: ReadonlyMap<string, ReplicaRecord>,
): boolean {
  return hidesTag && disk.get(replica)?.process?.startTicks === identity.startTicks;
}
