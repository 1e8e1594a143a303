/**
 * Takes a model's text apart, piece by piece, into what a chat answer is made of: a thought between `<think>` and `</think>`
 * at the beginning, text, and calls in the Hermes form, `<tool_call>{"name": "f", "arguments": {...}}</tool_call>`. One
 * instance per choice; used by cores that reason or call tools.
 *
 * Invariant: what comes out does not depend on how the text was cut into pieces; arguments leave as they come, character by
 * character; text that merely begins like a mark is held back until that is decided, and is text in the end.
 */
export interface CallDelta {
  index: number;
  /** With the first delta of a call only. */
  name?: string;
  arguments: string;
}

/** What `ChatOutput` does, and what plain text does in its place. */
export interface AnswerOutput {
  push(text: string): ChatParts;
  finish(): ChatParts;
  readonly calls: number;
}

export interface ChatParts {
  reasoning: string;
  content: string;
  calls: CallDelta[];
}

const THINK = '<think>';
const THINK_END = '</think>';
const CALL = '<tool_call>';
const CALL_END = '</tool_call>';
/** What stands before the arguments. */
const CALL_HEAD = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=[{[])/;
/** A call whose head is longer is none; it is passed on as text. */
const CALL_HEAD_CHARS_MAX = 1024;

type State = 'start' | 'thought' | 'text' | 'call-head' | 'arguments' | 'call-tail';

/** All of it is text. */
export const PLAIN_OUTPUT: AnswerOutput = {
  push: (content) => ({ reasoning: '', content, calls: [] }),
  finish: () => ({ reasoning: '', content: '', calls: [] }),
  calls: 0,
};

export class ChatOutput implements AnswerOutput {
  readonly #tools: boolean;
  #state: State;
  /** Text that is not decided yet. */
  #held = '';
  #calls = 0;
  /** Nothing but white space came since the last mark. */
  #afterMark = false;
  /** Inside the arguments: open brackets, and where in a string. */
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor({ reasoning, tools }: { reasoning: boolean; tools: boolean }) {
    this.#tools = tools;
    this.#state = reasoning ? 'start' : 'text';
  }

  /** Calls begun so far. */
  get calls(): number {
    return this.#calls;
  }

  push(text: string): ChatParts {
    const parts: ChatParts = { reasoning: '', content: '', calls: [] };
    this.#held += text;
    while (this.#advance(parts));
    return parts;
  }

  /** What is still held when the text has ended: the beginning of a mark that never came is text. */
  finish(): ChatParts {
    const parts: ChatParts = { reasoning: '', content: '', calls: [] };
    if (this.#state === 'thought') parts.reasoning = this.#withoutSpace(this.#held);
    else if (this.#state === 'text' || this.#state === 'start') this.#say(parts, this.#held);
    else if (this.#state === 'call-head') this.#say(parts, CALL + this.#held);
    this.#held = '';
    return parts;
  }

  /** One step; false when more text is needed. */
  #advance(parts: ChatParts): boolean {
    switch (this.#state) {
      case 'start':
        return this.#start();
      case 'thought':
        return this.#until(THINK_END, 'text', (text) => {
          parts.reasoning += this.#withoutSpace(text);
        });
      case 'text':
        if (!this.#tools) return this.#sayAll(parts);
        return this.#until(CALL, 'call-head', (text) => this.#say(parts, text));
      case 'call-head':
        return this.#head(parts);
      case 'arguments':
        return this.#arguments(parts);
      case 'call-tail':
        return this.#until(CALL_END, 'text', () => {});
    }
  }

  #start(): boolean {
    const text = this.#held.trimStart();
    if (text.startsWith(THINK)) {
      this.#held = text.slice(THINK.length);
      this.#enter('thought');
      return true;
    }
    if (THINK.startsWith(text)) return false;
    this.#state = 'text';
    return true;
  }

  /** Hands out text up to a mark, and what can not be its beginning. */
  #until(mark: string, next: State, take: (text: string) => void): boolean {
    const at = this.#held.indexOf(mark);
    if (at >= 0) {
      take(this.#held.slice(0, at));
      this.#held = this.#held.slice(at + mark.length);
      this.#enter(next);
      return true;
    }
    const kept = beginningOf(mark, this.#held);
    take(this.#held.slice(0, this.#held.length - kept));
    this.#held = this.#held.slice(this.#held.length - kept);
    return false;
  }

  #enter(state: State): void {
    this.#state = state;
    this.#afterMark = true;
  }

  #sayAll(parts: ChatParts): boolean {
    this.#say(parts, this.#held);
    this.#held = '';
    return false;
  }

  #say(parts: ChatParts, text: string): void {
    parts.content += this.#withoutSpace(text);
  }

  /** White space after a mark belongs to the mark. */
  #withoutSpace(text: string): string {
    const said = this.#afterMark ? text.trimStart() : text;
    if (said !== '') this.#afterMark = false;
    return said;
  }

  #head(parts: ChatParts): boolean {
    const found = CALL_HEAD.exec(this.#held);
    const name = found === null ? null : stringOf(found[1] as string);
    if (found === null || name === null || found[0].length > CALL_HEAD_CHARS_MAX) {
      if (found === null && this.#held.length <= CALL_HEAD_CHARS_MAX) return false;
      this.#say(parts, CALL);
      this.#state = 'text';
      return true;
    }
    parts.calls.push({ index: this.#calls++, name, arguments: '' });
    this.#held = this.#held.slice(found[0].length);
    this.#depth = 0;
    this.#state = 'arguments';
    return true;
  }

  #arguments(parts: ChatParts): boolean {
    const end = this.#endOfArguments();
    const text = this.#held.slice(0, end);
    addArguments(parts, this.#calls - 1, text);
    this.#held = this.#held.slice(end);
    if (this.#depth > 0) return false;
    this.#state = 'call-tail';
    return true;
  }

  /** Offset after the bracket that closes the arguments, or the end of what is held. */
  #endOfArguments(): number {
    for (let i = 0; i < this.#held.length; i++) {
      const character = this.#held[i] as string;
      if (this.#escaped) this.#escaped = false;
      else if (this.#inString) {
        if (character === '\\') this.#escaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === '{' || character === '[') this.#depth++;
      else if (character === '}' || character === ']') {
        this.#depth--;
        if (this.#depth === 0) return i + 1;
      }
    }
    return this.#held.length;
  }
}

function addArguments(parts: ChatParts, index: number, text: string): void {
  if (text === '') return;
  const last = parts.calls.at(-1);
  if (last?.index === index) last.arguments += text;
  else parts.calls.push({ index, arguments: text });
}

/** Adds up parts that came one after the other. */
export function appendParts(sum: ChatParts, next: ChatParts): void {
  sum.reasoning += next.reasoning;
  sum.content += next.content;
  for (const call of next.calls) {
    if (call.name === undefined) addArguments(sum, call.index, call.arguments);
    else sum.calls.push({ ...call });
  }
}

export const isEmpty = ({ reasoning, content, calls }: ChatParts): boolean =>
  reasoning === '' && content === '' && calls.length === 0;

/** Length of the longest end of `text` that `mark` begins with. */
function beginningOf(mark: string, text: string): number {
  for (let length = Math.min(mark.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(mark.slice(0, length))) return length;
  }
  return 0;
}

function stringOf(json: string): string | null {
  try {
    return JSON.parse(json) as string;
  } catch {
    return null;
  }
}
