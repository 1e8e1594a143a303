/**
 * What a person sees while replicas are waited for: a line for each change of a state, and, where nothing changes for a while,
 * how it stands.
 */
import type { ReplicaStatus } from '../../contract/admin-api.ts';
import { showSpan } from '../status-table.ts';
import { printable } from '../terminal.ts';

/** Longest silence. */
const SILENCE_MS = 5_000;

export class ReplicaNews {
  readonly #say: (text: string) => void;
  readonly #now: () => number;
  readonly #seen = new Map<string, string>();
  readonly #beganMs: number;
  #saidMs: number;

  /** `now`: milliseconds that only go forward; tests have their own. */
  constructor(say: (text: string) => void, now: () => number = () => performance.now()) {
    this.#say = say;
    this.#now = now;
    this.#beganMs = now();
    this.#saidMs = this.#beganMs;
  }

  /** Called with each look. `missing`: what is still not so, for the line that breaks the silence. */
  tell(replicas: readonly ReplicaStatus[], missing: string): void {
    for (const { id, state, reason } of replicas) {
      if (this.#seen.get(id) === state) continue;
      this.#seen.set(id, state);
      this.#line(`replica ${printable(id)} ${state}: ${oneLine(reason)}`);
    }
    if (this.#now() - this.#saidMs < SILENCE_MS) return;
    const waits = replicas
      .filter(({ state }) => state !== 'ready')
      .map(({ id, state, reason }) => `; ${printable(id)} is ${state}: ${oneLine(reason)}`);
    this.#line(`after ${showSpan(this.#now() - this.#beganMs)}: ${missing}${waits.join('')}`);
  }

  #line(text: string): void {
    this.#saidMs = this.#now();
    this.#say(`  ${text}`);
  }
}

function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ');
}
