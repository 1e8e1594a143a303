/**
 * What the parts that serve one request share: the request, its client's stream, and the ways to try a replica and to end.
 * `inference.ts` implements it; relays and continuation work against it.
 */
import type { PlatformError } from '../../contract/errors.ts';
import type { AttemptFailure } from '../../contract/facts.ts';
import type { Envelope } from '../../wire/openai/envelope.ts';
import type { Lease } from './admission.ts';
import type { Attempt, AttemptEvents, AttemptRequest } from './attempt.ts';
import type { AttemptEnd } from './attempt-end.ts';
import type { ClientStream } from './client-stream.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { RequestRecord } from './request-record.ts';

export type AttemptTarget = Pick<AttemptRequest, 'replica' | 'path' | 'body'>;

/** Connects the events of an attempt to the one value that says how it ended. */
export type WireAttempt = (attempt: () => Attempt, settle: (end: AttemptEnd) => void) => AttemptEvents;

export interface StreamRun {
  readonly context: GatewayContext;
  readonly envelope: Envelope;
  readonly record: RequestRecord;
  readonly stream: ClientStream;
  /** Runs of replicas (admission's `runOf`) that failed this request. */
  readonly failed: readonly string[];
  readonly cancelled: boolean;
  acquire(avoid: readonly string[], urgent: boolean): Promise<Lease>;
  attempt(target: AttemptTarget, wire: WireAttempt): Promise<AttemptEnd>;
  /** Throws when the client has left or the time is up. */
  throwIfOver(): void;
  reportFailure(lease: Lease, failure: AttemptFailure): void;
  countUsage(tail: Buffer): void;
  noteFirstToken(): void;
  endCompleted(): void;
  endInterrupted(error: PlatformError, usage: Record<string, unknown> | null): void;
}
