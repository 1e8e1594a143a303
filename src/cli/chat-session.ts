/**
 * One conversation: its messages, its commands, and the answer as it streams. A question whose answer failed leaves the
 * conversation as it was; an answer that was stopped stays in it as far as it came.
 */
import type { ChatClient, ChatEvent, ChatMessage } from '../client/chat-client.ts';
import { PlatformError } from '../contract/errors.ts';
import { printable, type Terminal } from './terminal.ts';

export interface ChatSessionOptions {
  client: ChatClient;
  model: string;
  system: string | undefined;
  terminal: Terminal;
  /** What to say when an answer to this model does not begin; undefined: nothing. Never rejects. */
  whyWaiting(model: string): Promise<string | undefined>;
  /** After how long that is said. Default 2 s. */
  waitNoticeMs?: number;
  /** Milliseconds that only go forward; tests have their own. */
  now?: () => number;
}

const HELP = [
  '/model [name]    show the models, or change to another one',
  '/system [text]   show the system prompt, or set it; it begins a new conversation',
  '/clear           begin a new conversation',
  '/help            this list',
  '/quit            end (also Ctrl-C at the prompt, or Ctrl-D)',
].join('\n');

/** A generation that took less is over before its speed means anything. */
const RATE_SPAN_MIN_MS = 50;

const WAIT_NOTICE_MS = 2_000;

interface Figures {
  tokens: number;
  firstTokenMs: number;
  totalMs: number;
}

export class ChatSession {
  readonly #client: ChatClient;
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #whyWaiting: ChatSessionOptions['whyWaiting'];
  readonly #waitNoticeMs: number;
  #system: string | undefined;
  #messages: ChatMessage[] = [];
  #figures: Figures | undefined;
  model: string;

  constructor(options: ChatSessionOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#client = options.client;
    this.#terminal = options.terminal;
    this.#whyWaiting = options.whyWaiting;
    this.#waitNoticeMs = options.waitNoticeMs ?? WAIT_NOTICE_MS;
    this.#system = options.system;
    this.model = options.model;
  }

  /**
   * Streams the answer to standard output, and says below it what the reader would not see: that another replica went on with
   * it, or that it was cut. Throws PlatformError when there is none, or when it breaks off.
   */
  async ask(question: string, signal: AbortSignal): Promise<'complete' | 'stopped'> {
    const system: ChatMessage[] =
      this.#system === undefined ? [] : [{ role: 'system', content: this.#system }];
    const asked: ChatMessage[] = [...this.#messages, { role: 'user', content: question }];
    const startMs = this.#now();
    let firstMs: number | undefined;
    let answer = '';
    let tokens = 0;
    const notes: string[] = [];
    const notice = this.#noticeWait();
    try {
      for await (const event of this.#client.stream(this.model, [...system, ...asked], signal)) {
        notice.end();
        if (event.type === 'text') {
          firstMs ??= this.#now();
          answer += event.text;
          this.#terminal.write(printable(event.text));
        } else if (event.type === 'usage') tokens = event.completionTokens;
        else notes.push(...noteOf(event));
      }
    } catch (error) {
      if (answer !== '') this.#terminal.print('');
      if (!signal.aborted) throw error;
      if (answer !== '') this.#messages = [...asked, { role: 'assistant', content: answer }];
      return 'stopped';
    } finally {
      notice.end();
    }
    if (!answer.endsWith('\n')) this.#terminal.print('');
    this.#printNotes(notes);
    this.#messages = [...asked, { role: 'assistant', content: answer }];
    const endMs = this.#now();
    this.#figures = { tokens, firstTokenMs: (firstMs ?? endMs) - startMs, totalMs: endMs - startMs };
    return 'complete';
  }

  /** Says once why nothing comes, unless `end` is called before. */
  #noticeWait(): { end(): void } {
    let over = false;
    const timer = setTimeout(async () => {
      const text = await this.#whyWaiting(this.model);
      if (!over && text !== undefined) this.#printNotes([text]);
    }, this.#waitNoticeMs);
    return {
      end: () => {
        over = true;
        clearTimeout(timer);
      },
    };
  }

  /** `ask` for a conversation: failures are shown, and the conversation goes on. */
  async converse(question: string, signal: AbortSignal): Promise<void> {
    const { colors } = this.#terminal;
    try {
      const outcome = await this.ask(question, signal);
      if (outcome === 'complete') this.printFigures();
      else this.#terminal.print(colors.dim('(stopped)'));
    } catch (error) {
      const { code, message } = PlatformError.from(error);
      const hint = code === 'context_length_exceeded' ? ' (/clear begins a new conversation)' : '';
      this.#terminal.print(colors.red(`${message}${hint}`));
    }
  }

  printFigures(): void {
    if (this.#figures === undefined) return;
    const { tokens, firstTokenMs, totalMs } = this.#figures;
    const spanMs = totalMs - firstTokenMs;
    // The first token is where the span begins, so it is not part of the rate.
    const measurable = tokens > 1 && spanMs >= RATE_SPAN_MIN_MS;
    const rate = measurable ? `, ${Math.round(((tokens - 1) * 1000) / spanMs)} tokens/s` : '';
    const text = `${tokens} ${tokens === 1 ? 'token' : 'tokens'}${rate}, first token after ${Math.round(firstTokenMs)} ms`;
    this.#terminal.print(this.#terminal.colors.dim(text));
  }

  /** Where a program reads the answer, the notes go beside it. */
  #printNotes(notes: readonly string[]): void {
    const { colors, interactive } = this.#terminal;
    const show = interactive ? this.#terminal.print : this.#terminal.complain;
    for (const note of notes) show(colors.dim(note));
  }

  async command(line: string, signal: AbortSignal): Promise<void> {
    const [name = '', ...rest] = line.split(/\s+/);
    const argument = rest.join(' ');
    const { colors } = this.#terminal;
    switch (name) {
      case '/help':
        return this.#terminal.print(HELP);
      case '/clear':
        this.#messages = [];
        return this.#terminal.print(colors.dim('(new conversation)'));
      case '/system':
        return this.#setSystem(argument);
      case '/model':
        return this.#setModel(argument, signal);
      default:
        return this.#terminal.print(colors.red(`unknown command ${name}; /help lists them`));
    }
  }

  #setSystem(text: string): void {
    const { colors } = this.#terminal;
    if (text !== '') {
      this.#system = text;
      this.#messages = [];
    }
    this.#terminal.print(colors.dim(`system prompt: ${this.#system ?? '(none)'}`));
  }

  async #setModel(wanted: string, signal: AbortSignal): Promise<void> {
    const { colors } = this.#terminal;
    try {
      const known = await this.#client.listModels(signal);
      if (wanted !== '' && !known.includes(wanted)) {
        return this.#terminal.print(colors.red(`unknown model "${wanted}"; known: ${known.join(', ')}`));
      }
      if (wanted !== '') this.model = wanted;
      this.#terminal.print(known.map((name) => (name === this.model ? `* ${name}` : `  ${name}`)).join('\n'));
    } catch (error) {
      this.#terminal.print(colors.red(PlatformError.from(error).message));
    }
  }
}

function noteOf(event: ChatEvent): string[] {
  if (event.type === 'continued') {
    return [`(continued on another replica: tier ${event.tier}, gap ${event.gapMs} ms)`];
  }
  return event.type === 'finish' && event.reason === 'length' ? ['(cut at the limit of tokens)'] : [];
}
