/** How one attempt on a replica ended, as the request loop sees it. */
import type { AttemptFailure } from '../../contract/facts.ts';
import type { ResponseHeaders } from './attempt.ts';

export type AttemptEnd =
  | { kind: 'streamed' }
  | { kind: 'answered'; status: number; headers: ResponseHeaders; body: Buffer }
  | { kind: 'failed'; failure: AttemptFailure; detail: string; answer: EngineAnswer | null }
  | { kind: 'cancelled' };

export interface EngineAnswer {
  status: number;
  headers: ResponseHeaders;
  body: Buffer;
}
