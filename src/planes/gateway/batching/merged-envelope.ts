/**
 * What the request loop reads of a call that is made for several requests. The body is put together each time that it is about to be
 * sent, without those who have left meanwhile; `carried` is whose answer will come.
 *
 * Invariant: whoever reads `bytes` while the call waits for an answer would change whose answer it is; the request loop reads them
 * only before an attempt.
 */
import type { Envelope } from '../../../wire/openai/envelope.ts';
import { mergedBody } from '../../../wire/openai/merged/request-part.ts';
import type { BatchMember } from './batch-member.ts';

export class MergedEnvelope implements Envelope {
  readonly endpoint: Envelope['endpoint'];
  readonly model: string;
  readonly stream = false;
  readonly includeUsage = false;
  /** Of the first; what all have in common. */
  readonly fields: Envelope['fields'];
  readonly ticket: string;
  readonly #members: readonly BatchMember[];
  #carried: readonly BatchMember[] = [];
  #bytes: Buffer | null = null;

  /** @param members of one kind; one at least. */
  constructor(members: readonly BatchMember[]) {
    const [first] = members as readonly [BatchMember, ...BatchMember[]];
    const { endpoint, model, fields } = first.request.envelope;
    this.endpoint = endpoint;
    this.model = model;
    this.fields = fields;
    this.ticket = first.key;
    this.#members = members;
  }

  get carried(): readonly BatchMember[] {
    return this.#carried;
  }

  get bytes(): Buffer {
    const open = this.#members.filter(({ isOpen }) => isOpen);
    // They only leave, so as many are the same. When all have left, nothing is sent any more.
    if (this.#bytes === null || (open.length > 0 && open.length < this.#carried.length)) {
      this.#carried = open.length > 0 ? open : this.#members;
      this.#bytes = mergedBody(
        this.fields,
        this.#carried.map(({ part }) => part),
      );
    }
    return this.#bytes;
  }
}
