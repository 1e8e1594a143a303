/**
 * The node's list of suspect requests: what all gateways found out, kept on disk and told to each of them. It judges nothing; of
 * two records of one fingerprint the one that changed last counts. A disk that fails costs only what a restart would need.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import { SUSPECTS_MAX, type SuspectRecord } from '../../contract/suspects.ts';

export interface SuspectListOptions {
  clock: Clock;
  /** Of the last good file. */
  records: readonly SuspectRecord[];
  /** Throws when the disk does not take it. */
  keep(records: readonly SuspectRecord[]): void;
  /** To all gateways but the one that said it; null: it came from a person. */
  tell(records: readonly SuspectRecord[], but: string | null): void;
  log(level: 'error', message: string, detail: Record<string, unknown>): void;
}

/** A released record is remembered for so long, so that no gateway that was away brings it back. */
const RELEASED_MS = 3_600_000;
/** From a change to its writing. */
const KEEP_MS = 50;
/** Shortest beginning of a fingerprint that names it. */
const PREFIX_MIN = 6;

export class SuspectList {
  readonly #options: SuspectListOptions;
  readonly #records = new Map<string, SuspectRecord>();
  #isKeeping = false;

  constructor(options: SuspectListOptions) {
    this.#options = options;
    for (const record of options.records) this.#records.set(record.fingerprint, record);
    this.#expire();
  }

  /** All of which something is known, released ones too. */
  all(): SuspectRecord[] {
    this.#expire();
    return [...this.#records.values()];
  }

  /** Those that count, what changed last first. */
  list(): SuspectRecord[] {
    return this.all()
      .filter(({ status }) => status !== 'released')
      .sort((a, b) => b.changedAtMs - a.changedAtMs);
  }

  /** By the fingerprint, or its beginning. Throws `not_found` and `invalid_request`. */
  find(fingerprint: string): SuspectRecord {
    const found = this.list().filter((record) => record.fingerprint.startsWith(fingerprint));
    if (fingerprint.length < PREFIX_MIN || found.length > 1) {
      const why = found.length > 1 ? `${found.length} fingerprints begin so` : 'too short';
      throw new PlatformError(
        'invalid_request',
        `found fingerprint "${fingerprint}": ${why}; would be right: the whole of one, or at least ${PREFIX_MIN} of its first characters`,
      );
    }
    if (found[0] !== undefined) return found[0];
    throw new PlatformError(
      'not_found',
      `no suspect request has the fingerprint "${fingerprint}"; \`autoglm suspects\` lists them`,
    );
  }

  take(records: readonly SuspectRecord[], from: string | null): void {
    const news = records.filter((record) => {
      const known = this.#records.get(record.fingerprint);
      return known === undefined || known.changedAtMs < record.changedAtMs;
    });
    if (news.length === 0) return;
    for (const record of news) {
      // What changed last stands last, so what stands first is the least worth keeping.
      this.#records.delete(record.fingerprint);
      this.#records.set(record.fingerprint, record);
    }
    for (const fingerprint of this.#records.keys()) {
      if (this.#records.size <= SUSPECTS_MAX) break;
      this.#records.delete(fingerprint);
    }
    void this.#keepSoon();
    this.#options.tell(news, from);
  }

  /** It may be sent again like any other. Throws as `find`. */
  release(fingerprint: string): SuspectRecord {
    const record = this.find(fingerprint);
    const nowMs = this.#options.clock.wallMs();
    // A clock that was set back must not make it older than what it replaces.
    const changedAtMs = Math.max(nowMs, record.changedAtMs + 1);
    const released = {
      ...record,
      status: 'released' as const,
      changedAtMs,
      expiresAtMs: nowMs + RELEASED_MS,
    };
    this.take([released], null);
    return released;
  }

  /** A gateway says what became of it; without a word for a day nobody knows of it any more. */
  #expire(): void {
    const nowMs = this.#options.clock.wallMs();
    for (const [fingerprint, { expiresAtMs, status }] of this.#records) {
      const refused = status === 'held' || status === 'convicted';
      if (expiresAtMs + (refused ? 86_400_000 : 0) < nowMs) this.#records.delete(fingerprint);
    }
  }

  /** Many change in one moment, and gateways know all of it. */
  async #keepSoon(): Promise<void> {
    if (this.#isKeeping) return;
    this.#isKeeping = true;
    await this.#options.clock.sleep(KEEP_MS);
    this.#isKeeping = false;
    try {
      this.#options.keep(this.all());
    } catch (error) {
      this.#options.log('error', 'the list of suspect requests could not be written; it is kept in memory', {
        error: String(error),
      });
    }
  }
}
