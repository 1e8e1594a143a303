/** Faults of single requests inside the engine: which request meets which fault, and what becomes of it at which token. */
import type { EngineSequence } from '../sequence.ts';
import { decode } from '../tokenizer.ts';
import type { ArmedFault, FaultBoard } from './fault-board.ts';

export class RequestFaults {
  readonly #board: FaultBoard;

  constructor(board: FaultBoard) {
    this.#board = board;
  }

  /** A sequence is computed for the first time, or again after a preemption. */
  admit(sequence: EngineSequence): void {
    // A preempted sequence comes back with its tokens; its faults are known already.
    if (sequence.generated > 0) return;
    for (const armed of this.#matching(sequence)) this.#expect(sequence, armed);
  }

  /** A fault was armed while these were running. */
  reconsider(armed: ArmedFault, running: readonly EngineSequence[]): void {
    for (const sequence of running) {
      if (this.#matching(sequence).includes(armed)) this.#expect(sequence, armed);
    }
  }

  /** Before the next token: faults that wait for it fire. True when the sequence gets no token because of them. */
  beforeToken(sequence: EngineSequence): boolean {
    const due = sequence.faults.filter(({ fault }) => (fault.when.atToken ?? 0) <= sequence.generated);
    sequence.faults = sequence.faults.filter((armed) => !due.includes(armed));
    for (const armed of due) this.#apply(sequence, armed);
    return sequence.held;
  }

  #matching(sequence: EngineSequence): ArmedFault[] {
    return this.#board.matching({
      ordinal: sequence.ordinal,
      promptTokens: sequence.promptLength,
      promptText: () => Buffer.from(decode(sequence.request.promptTokens)).toString('utf8'),
    });
  }

  #expect(sequence: EngineSequence, armed: ArmedFault): void {
    if (armed.fault.when.atToken === undefined) this.#apply(sequence, armed);
    else sequence.faults.push(armed);
  }

  #apply(sequence: EngineSequence, armed: ArmedFault): void {
    if (!this.#board.fireForRequest(armed)) return;
    const { fault } = armed;
    if (fault.action === 'hang-request') sequence.held = true;
    else if (fault.action === 'stall-stream') sequence.answer?.stall();
    else if (fault.action === 'truncate-stream') sequence.answer?.truncate(fault.how);
  }
}
