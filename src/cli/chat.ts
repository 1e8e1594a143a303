/**
 * `autoglm chat`: a conversation in the terminal, or one question from the arguments or a pipe. Ctrl-C stops the answer that
 * is being written; at the prompt it quits.
 */
import { createInterface, type Interface } from 'node:readline';
import { type ChatClient, createChatClient } from '../client/chat-client.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import { ChatSession } from './chat-session.ts';
import { waitExplainer } from './chat-wait.ts';
import { type CommandContext, connectAdmin, findGateway, type GatewayOptions } from './command-context.ts';

export interface ChatOptions extends GatewayOptions {
  model?: string;
  system?: string;
  maxTokens?: number;
}

/** Longest question from a pipe. */
const PIPE_BYTES_MAX = 4_194_304;
const LIST_TIMEOUT_MS = 10_000;

export async function chat(words: string[], options: ChatOptions, context: CommandContext): Promise<void> {
  const target = findGateway(options, context.environment);
  const client = createChatClient({ ...target, maxTokens: options.maxTokens });
  const question = words.length > 0 ? words.join(' ') : process.stdin.isTTY ? undefined : await readPipe();
  const model = await chooseModel(client, options.model);
  const session = new ChatSession({
    client,
    model,
    system: options.system,
    terminal: context.terminal,
    whyWaiting: waitExplainer(
      options.url === undefined ? connectAdmin(options, context) : null,
      context.terminal.interactive,
    ),
  });
  if (question === undefined) return converse(session, context);
  if (question.trim() === '') {
    const where = words.length > 0 ? 'an empty question' : 'no question in the pipe';
    throw new PlatformError(
      'invalid_request',
      `found ${where}; without one and at a terminal it is a conversation`,
    );
  }
  await askOnce(session, question, context);
}

async function chooseModel(client: ChatClient, wanted: string | undefined): Promise<string> {
  const known = await client.listModels(AbortSignal.timeout(LIST_TIMEOUT_MS));
  const model = wanted ?? known[0];
  if (model === undefined)
    throw new PlatformError('no_replica', 'the gateway serves no model yet; see `autoglm status`');
  if (!known.includes(model)) {
    throw new PlatformError('model_not_found', `unknown model "${model}"; known: ${known.join(', ')}`);
  }
  return model;
}

async function readPipe(): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > PIPE_BYTES_MAX) {
      throw new PlatformError('body_too_large', `the question has more than ${PIPE_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8').trim();
}

async function askOnce(
  session: ChatSession,
  question: string,
  { terminal, exit }: CommandContext,
): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGINT', onSignal);
  try {
    const outcome = await session.ask(question, stop.signal);
    if (outcome === 'stopped') exit(EXIT_CODES.interrupted.code);
    else if (terminal.interactive) session.printFigures();
  } finally {
    process.off('SIGINT', onSignal);
  }
}

function converse(session: ChatSession, { terminal }: CommandContext): Promise<void> {
  const { colors } = terminal;
  terminal.print(
    `${colors.bold(session.model)}   ${colors.dim('/help for commands, Ctrl-C stops an answer, /quit ends')}`,
  );
  const input = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: colors.cyan('you > '),
    historySize: 200,
  });
  return new Promise((resolve) => {
    let closed = false;
    let stop: AbortController | null = null;
    let running: Promise<void> = Promise.resolve();
    const waiting: string[] = [];
    const next = async (line: string): Promise<void> => {
      stop = new AbortController();
      await runLine(session, line, stop.signal, input);
      stop = null;
      // A closed input throws when it is asked for another line.
      if (closed) return;
      const queued = waiting.shift();
      if (queued !== undefined) return next(queued);
      input.prompt();
    };
    input.on('line', (line) => {
      // Lines of a pasted text come at once; each gets its answer in turn.
      if (stop !== null) waiting.push(line);
      else running = next(line);
    });
    input.on('SIGINT', () => {
      waiting.length = 0;
      if (stop !== null) stop.abort();
      else input.close();
    });
    input.on('close', () => {
      closed = true;
      stop?.abort();
      terminal.print('');
      resolve(running);
    });
    input.prompt();
  });
}

async function runLine(
  session: ChatSession,
  line: string,
  signal: AbortSignal,
  input: Interface,
): Promise<void> {
  const text = line.trim();
  if (text === '') return;
  if (text === '/quit' || text === '/exit') return input.close();
  if (text.startsWith('/')) return session.command(text, signal);
  await session.converse(text, signal);
}
