/** Faults of single requests inside the engine: which request meets which fault, and what becomes of it at which token. */
import type { EngineSequence } from '../sequence.ts';
import { decode } from '../tokenizer.ts';
import type { ArmedFault, FaultBoard } from './fault-board.ts';

/** Requests that generate are counted from 1. */
const NO_GENERATION = 0;

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

  /** A text is embedded or classified: faults that wait for such a prompt fire. False: no answer is to come of it. */
  meetText(tokens: readonly number[]): boolean {
    const met = this.#board.matching({ ...traitsOf(tokens), ordinal: NO_GENERATION }).filter(({ fault }) => {
      const { promptContains, promptTokensOver, atToken } = fault.when;
      return atToken === undefined && (promptContains !== undefined || promptTokensOver !== undefined);
    });
    const fired = met.filter((armed) => this.#board.fireForRequest(armed));
    return !fired.some(({ fault }) => fault.action === 'hang-request');
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
    const { ordinal, promptLength: promptTokens, request } = sequence;
    return this.#board.matching({ ...traitsOf(request.promptTokens), ordinal, promptTokens });
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

function traitsOf(tokens: readonly number[]) {
  return {
    promptTokens: tokens.length,
    promptText: () => Buffer.from(decode(tokens)).toString('utf8'),
  };
}
