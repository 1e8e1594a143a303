/**
 * Puts the pieces of an answer into the vendor's order: one content block at a time, numbered from 0, each closed before the
 * next begins. Engines may mix pieces of several tool calls; those of a call whose turn has not come wait here, bounded. A
 * call can be closed early when its arguments are a whole JSON object; text and thinking can be closed at any time.
 *
 * Throws PlatformError `engine_failed` when the pieces can not become well-formed blocks; what was said before stands.
 */
import { PlatformError } from '../../contract/errors.ts';
import { ObjectScanner } from '../json/object-scanner.ts';
import { malformedCall, parseArguments } from './answer.ts';
import type { ContentBlock } from './message-shapes.ts';

export type BlockEvent =
  | { type: 'content_block_start'; index: number; content_block: ContentBlock }
  | { type: 'content_block_delta'; index: number; delta: BlockDelta }
  | { type: 'content_block_stop'; index: number };

export type BlockDelta =
  | { type: 'text_delta'; text: string }
  | { type: 'thinking_delta'; thinking: string }
  | { type: 'signature_delta'; signature: string }
  | { type: 'input_json_delta'; partial_json: string };

export interface ToolPiece {
  index: number;
  id: string | null;
  name: string | null;
  arguments: string;
}

/** Characters that wait for their turn, and of the arguments of all calls together. */
const WAITING_CHARS_MAX = 4_194_304;
const ARGUMENT_CHARS_MAX = 4_194_304;

interface ProseBlock {
  kind: 'text' | 'thinking';
  waiting: string;
}

interface ToolBlock {
  kind: 'tool';
  /** The engine's number of the call. */
  call: number;
  id: string | null;
  name: string | null;
  /** All arguments so far, for the check at the end. */
  arguments: string;
  waiting: string;
  scanner: ObjectScanner;
  closed: boolean;
}

type Block = ProseBlock | ToolBlock;

export class BlockSequence {
  readonly #toolUseId: (engineId: string | null, index: number) => string;
  /** Blocks in order of appearance; the first is open once `#started`. */
  readonly #queue: Block[] = [];
  readonly #calls = new Map<number, ToolBlock>();
  #started = false;
  #index = 0;
  #waitingChars = 0;
  #argumentChars = 0;
  #events: BlockEvent[] = [];

  constructor(toolUseId: (engineId: string | null, index: number) => string) {
    this.#toolUseId = toolUseId;
  }

  get calledTools(): boolean {
    return this.#calls.size > 0;
  }

  /** Events so far; each is handed out once. */
  take(): BlockEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  prose(kind: 'text' | 'thinking', text: string): void {
    const last = this.#queue.at(-1);
    let block: ProseBlock;
    if (last?.kind === kind) block = last;
    else {
      block = { kind, waiting: '' };
      this.#queue.push(block);
    }
    this.#feed(block, text);
  }

  tool(piece: ToolPiece): void {
    const block = this.#calls.get(piece.index) ?? this.#newCall(piece.index);
    block.id ??= piece.id;
    block.name ??= piece.name;
    this.#argumentChars += piece.arguments.length;
    if (this.#argumentChars > ARGUMENT_CHARS_MAX) {
      throw new PlatformError(
        'engine_failed',
        `the arguments of tool calls have more than ${ARGUMENT_CHARS_MAX} characters`,
      );
    }
    const wasComplete = block.scanner.state === 'complete';
    block.scanner.push(piece.arguments);
    if (block.scanner.state === 'broken') throw malformedCall(block.name);
    block.arguments += piece.arguments;
    const complete = block.scanner.state === 'complete' && !wasComplete;
    if (complete && parseArguments(block.arguments) === null) throw malformedCall(block.name);
    // After its end a call can only be followed by white space, which adds nothing.
    if (!block.closed) this.#feed(block, piece.arguments);
  }

  #newCall(call: number): ToolBlock {
    const block: ToolBlock = {
      kind: 'tool',
      call,
      id: null,
      name: null,
      arguments: '',
      waiting: '',
      scanner: new ObjectScanner(),
      closed: false,
    };
    this.#calls.set(call, block);
    this.#queue.push(block);
    return block;
  }

  #feed(block: Block, text: string): void {
    block.waiting += text;
    this.#waitingChars += text.length;
    this.#advance();
    if (this.#waitingChars > WAITING_CHARS_MAX) {
      throw new PlatformError(
        'engine_failed',
        `more than ${WAITING_CHARS_MAX} characters follow a tool call that does not end`,
      );
    }
  }

  /** Says all that may be said: of the first block what it has, and of the next ones as soon as the first may be closed. */
  #advance(): void {
    for (;;) {
      const [block, next] = this.#queue;
      if (block === undefined || !this.#say(block)) return;
      if (next === undefined || !mayClose(block)) return;
      this.#close(block);
    }
  }

  /** False while the block can not begin: a call's name has not come. */
  #say(block: Block): boolean {
    if (!this.#started) {
      if (block.kind === 'tool' && block.name === null) return false;
      this.#started = true;
      this.#events.push({
        type: 'content_block_start',
        index: this.#index,
        content_block: this.#opening(block),
      });
    }
    if (block.waiting !== '') this.#delta(deltaOf(block, block.waiting));
    this.#waitingChars -= block.waiting.length;
    block.waiting = '';
    return true;
  }

  #opening(block: Block): ContentBlock {
    if (block.kind !== 'tool') {
      return block.kind === 'text'
        ? { type: 'text', text: '', citations: null }
        : { type: 'thinking', thinking: '', signature: '' };
    }
    return {
      type: 'tool_use',
      id: this.#toolUseId(block.id, block.call),
      name: block.name ?? '',
      input: {},
      caller: { type: 'direct' },
    };
  }

  #close(block: Block): void {
    if (block.kind === 'thinking') this.#delta({ type: 'signature_delta', signature: '' });
    if (block.kind === 'tool') block.closed = true;
    this.#events.push({ type: 'content_block_stop', index: this.#index });
    this.#queue.shift();
    this.#started = false;
    this.#index++;
  }

  #delta(delta: BlockDelta): void {
    this.#events.push({ type: 'content_block_delta', index: this.#index, delta });
  }

  /**
   * The answer is over: closes what is open and says what waits. `cutAtLimit`: a call may be incomplete, as its client can
   * read from the stop reason.
   */
  finish(cutAtLimit: boolean): void {
    for (let block = this.#queue[0]; block !== undefined; block = this.#queue[0]) {
      if (block.kind === 'tool') {
        const whole = parseArguments(block.arguments) !== null;
        if (cutAtLimit && block.name === null) {
          this.#queue.shift();
          continue;
        }
        if (block.name === null || (!whole && !cutAtLimit)) throw malformedCall(block.name);
      }
      this.#say(block);
      this.#close(block);
    }
  }
}

function mayClose(block: Block): boolean {
  return block.kind !== 'tool' || block.scanner.state === 'complete';
}

function deltaOf(block: Block, text: string): BlockDelta {
  if (block.kind === 'text') return { type: 'text_delta', text };
  if (block.kind === 'thinking') return { type: 'thinking_delta', thinking: text };
  return { type: 'input_json_delta', partial_json: text };
}
