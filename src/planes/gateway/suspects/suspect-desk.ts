/**
 * A worker's side of suspect requests. While nothing is suspected and no engine dies, all that it costs a request is to read
 * `any`. At a crash each request that was there tells the main thread, and waits for a verdict before it is sent anywhere else.
 */
import type { Clock } from '../../../base/clock.ts';
import type { AttemptFailure } from '../../../contract/facts.ts';
import type { ReplicaView } from '../../../contract/fleet.ts';
import type { QuarantineSettings } from '../../../contract/suspects.ts';
import type { Envelope } from '../../../wire/openai/envelope.ts';
import type { FleetTable } from '../fleet-table.ts';
import { fingerprintOf } from './fingerprint.ts';
import { type FromDesk, firstAskOf, type ToDesk } from './suspect-messages.ts';
import { Suspicion } from './suspicion.ts';

export interface SuspectDeskOptions {
  clock: Clock;
  worker: number;
  tell(event: FromDesk): void;
}

export interface FailedAttempt {
  envelope: Envelope;
  /** As the request was taken in. */
  model: string;
  /** The pool, or adapter, that serves it. */
  servedBy: string;
  requestId: string;
  replica: ReplicaView;
  failure: AttemptFailure;
  /** The engine said that it has too much to do, which is no sign of dying. Default false. */
  busy?: boolean;
  runningMs: number;
  committed: boolean;
  /** Under which it ran. */
  former: Suspicion | null;
}

/** Nothing dies there that was not told to. */
const PLANNED_STATES: readonly ReplicaView['state'][] = ['draining', 'stopping', 'stopped'];

export class SuspectDesk {
  /** Something is known of some request. */
  any = false;
  readonly #options: SuspectDeskOptions;
  readonly #listed = new Set<string>();
  #settings: QuarantineSettings | undefined;
  #table: FleetTable;
  #nextAsk: number;
  readonly #waiting = new Map<number, Suspicion>();

  constructor(options: SuspectDeskOptions, table: FleetTable, settings: QuarantineSettings | undefined) {
    this.#options = options;
    this.#nextAsk = firstAskOf(options.worker);
    this.#table = table;
    this.#settings = settings?.enabled === true ? settings : undefined;
  }

  update(table: FleetTable, settings: QuarantineSettings | undefined): void {
    this.#table = table;
    this.#settings = settings?.enabled === true ? settings : undefined;
    this.any = this.#settings !== undefined && this.#listed.size > 0;
  }

  take(message: ToDesk): void {
    if (message.type === 'verdict') return this.#waiting.get(message.ask)?.take(message.verdict);
    for (const fingerprint of message.added) this.#listed.add(fingerprint);
    for (const fingerprint of message.removed) this.#listed.delete(fingerprint);
    this.any = this.#settings !== undefined && this.#listed.size > 0;
  }

  /** A request that is to be sent; null: nothing is known of it. */
  arrived(
    envelope: Envelope,
    { model, servedBy }: Pick<FailedAttempt, 'model' | 'servedBy'>,
  ): Suspicion | null {
    const settings = this.#settings;
    if (settings === undefined || this.#listed.size === 0) return null;
    const fingerprint = fingerprintOf(settings.fingerprintKey, envelope, model);
    if (!this.#listed.has(fingerprint)) return null;
    const suspicion = this.#open(fingerprint);
    this.#options.tell({
      type: 'arrived',
      ...this.#about(suspicion),
      ask: suspicion.ask!,
      pool: this.#poolOf(servedBy),
    });
    return suspicion;
  }

  /** An attempt failed. What is known of the request from here on; null: nothing. */
  failed(attempt: FailedAttempt): Suspicion | null {
    const settings = this.#settings;
    const { envelope, model, servedBy, replica, failure, former, requestId, runningMs, committed } = attempt;
    if (settings === undefined) {
      former?.end(false);
      return null;
    }
    const isCrash = failure === 'connection-lost' || failure === 'replica-suspect';
    const isError = failure === 'engine-error' && attempt.busy !== true;
    const now = this.#table.poolOf(replica.id)?.replicas.find(({ view }) => view.id === replica.id)?.view;
    const isPlanned = now === undefined || PLANNED_STATES.includes(now.state);
    if ((!isCrash && !isError) || isPlanned) return this.#again(attempt);
    const fingerprint = former?.fingerprint ?? fingerprintOf(settings.fingerprintKey, envelope, model);
    const what = {
      ...{ atMs: this.#options.clock.wallMs(), fingerprint, model, endpoint: envelope.endpoint, requestId },
      ...{
        pool: this.#poolOf(servedBy),
        replica: replica.id,
        generation: replica.generation,
        runningMs,
        committed,
      },
    };
    if (isError) {
      this.#options.tell({ type: 'errored', ...what });
      return this.#again(attempt);
    }
    const formerAsk = former?.ask ?? null;
    former?.replaced();
    const suspicion = this.#open(fingerprint);
    const surely = failure === 'replica-suspect';
    this.#options.tell({ type: 'crashed', ...what, ask: suspicion.ask, former: formerAsk, surely });
    return suspicion;
  }

  /** A permit is for one attempt. */
  #again({ former, envelope, ...named }: FailedAttempt): Suspicion | null {
    if (former === null) return null;
    former.end(false);
    return this.arrived(envelope, named);
  }

  #open(fingerprint: string): Suspicion {
    const ask = this.#nextAsk++;
    const { clock, tell } = this.#options;
    const suspicion = new Suspicion({
      ...{ fingerprint, ask, tell, wallMs: () => clock.wallMs() },
      onEnd: () => this.#waiting.delete(ask),
    });
    this.#waiting.set(ask, suspicion);
    return suspicion;
  }

  #about({ fingerprint }: Suspicion): { atMs: number; fingerprint: string } {
    return { atMs: this.#options.clock.wallMs(), fingerprint };
  }

  #poolOf(model: string): string {
    return this.#table.find(model)?.view.model ?? model;
  }
}
