/** One request that may have killed an engine, between its question to the main thread and its end. */
import { PlatformError } from '../../../contract/errors.ts';
import type { SuspectRecord } from '../../../contract/suspects.ts';
import type { Verdict } from '../../../decide/suspects/suspect-state.ts';
import type { FromDesk } from './suspect-messages.ts';

/** The one replica where a request may be placed. */
export interface OnlyOn {
  /** As `runOf` names it; null: any, after all. */
  run: string | null;
  /** No other request may be there. */
  alone: boolean;
  /** Runs to stay away from since it may go anywhere. */
  avoid: readonly string[];
}

export interface SuspicionOptions {
  fingerprint: string;
  ask: number;
  wallMs(): number;
  tell(event: FromDesk): void;
  onEnd(ask: number): void;
}

export class Suspicion {
  readonly #options: SuspicionOptions;
  readonly #verdict = Promise.withResolvers<void>();
  /** Runs to stay away from. */
  avoid: readonly string[] = [];
  /** Changes when that replica dies before the request got there. */
  only: OnlyOn | null = null;
  #waits = true;
  #answering = false;
  #over = false;

  constructor(options: SuspicionOptions) {
    this.#options = options;
    // It may be refused while nobody waits for the verdict.
    this.#verdict.promise.catch(() => {});
  }

  get fingerprint(): string {
    return this.#options.fingerprint;
  }

  /** The question that is still of interest; null: there is none. */
  get ask(): number | null {
    return this.#over ? null : this.#options.ask;
  }

  /** Resolves when the request may be placed. Rejects with `request_quarantined`, or with what ended the wait. */
  async cleared(deadlineMs: number, nowMs: number): Promise<void> {
    if (!this.#waits) return this.#verdict.promise;
    const timer = setTimeout(() => this.giveUp(waitedInVain()), Math.max(0, deadlineMs - nowMs));
    try {
      await this.#verdict.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  giveUp(error: PlatformError): void {
    this.#waits = false;
    this.#verdict.reject(error);
    this.end(false);
  }

  take(verdict: Verdict): void {
    if (this.#over) return;
    this.#waits = false;
    switch (verdict.kind) {
      case 'refuse':
        this.#verdict.reject(quarantined(verdict.record));
        return this.#close();
      case 'go':
        this.avoid = verdict.avoid;
        if (this.only !== null) Object.assign(this.only, { run: null, alone: false, avoid: verdict.avoid });
        // Nobody asks how it fares from here on; that it ended well is told all the same.
        return this.#verdict.resolve();
      case 'place': {
        const run = `${verdict.replica}@${verdict.generation}`;
        if (this.only === null) this.only = { run, alone: verdict.alone, avoid: [] };
        else Object.assign(this.only, { run, alone: verdict.alone });
        return this.#verdict.resolve();
      }
    }
  }

  placed(): void {
    if (this.only !== null && !this.#over)
      this.#options.tell({ type: 'placed', atMs: this.#options.wallMs(), ask: this.#options.ask });
  }

  answering(): void {
    if (this.#answering || this.#over || this.only === null) return;
    this.#answering = true;
    this.#options.tell({ type: 'answering', atMs: this.#options.wallMs(), ask: this.#options.ask });
  }

  /** The request is over. Any number of calls. */
  end(completed: boolean): void {
    if (this.#over) return;
    const { ask, fingerprint, wallMs, tell } = this.#options;
    this.#close();
    tell({ type: 'ended', atMs: wallMs(), ask, fingerprint, completed });
  }

  /** A further crash takes its place. */
  replaced(): void {
    this.#close();
  }

  #close(): void {
    this.#over = true;
    this.#options.onEnd(this.#options.ask);
  }
}

function quarantined({ fingerprint, status, crashes, expiresAtMs }: SuspectRecord): PlatformError {
  const replicas = [...new Set(crashes.map(({ replica }) => replica))].join(', ');
  const why =
    status === 'convicted'
      ? 'an engine died while this request was alone on it'
      : `engines died twice while this request ran (${replicas}), and no replica can be spared to try it alone`;
  const until = new Date(expiresAtMs).toISOString();
  return new PlatformError(
    'request_quarantined',
    `${why}; it is refused until ${until} (fingerprint ${fingerprint}). Change the request, or ask an operator: autoglm suspects show ${fingerprint}`,
  );
}

function waitedInVain(): PlatformError {
  const message =
    'engines died while this request ran, and no replica was free to try it with care before its deadline';
  return new PlatformError('queue_timeout', message, { retryAfterS: 5 });
}
