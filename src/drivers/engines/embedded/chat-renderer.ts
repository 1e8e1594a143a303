/**
 * Chat messages to prompt tokens. What users write is always tokenized as plain text, so a message can not smuggle in special
 * tokens; only the template's own text may contain them. An open final message ends exactly with its text, nothing trimmed.
 *
 * ChatML is built here; other templates run in the Jinja interpreter that node-llama-cpp brings along, with a placeholder in
 * the place of each message, which is then replaced by the tokens of its text.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { PlatformError } from '../../../contract/errors.ts';
import type { ChatTurn, RenderOptions } from '../../../contract/ports/engine-core.ts';

export type RenderChat = (turns: readonly ChatTurn[], options: RenderOptions) => number[];

/** Pieces of a prompt, in order. */
export interface PromptPiece {
  text: string;
  /** From a message, and not from the template. */
  fromUser: boolean;
}

export interface RendererOptions {
  /** `tokenizer.chat_template` of the model file. */
  template: string | undefined;
  bosText: string;
  eosText: string;
  /** The token that the model wants at the beginning, when the template does not write it. */
  bosToPrepend: number | undefined;
  tokenize(text: string, parseSpecial: boolean): number[];
}

/** What we use of @huggingface/jinja. */
interface JinjaTemplate {
  render(values: Record<string, unknown>): string;
}

export async function createChatRenderer(options: RendererOptions): Promise<RenderChat> {
  const { template } = options;
  if (template === undefined) return refuseChat;
  const pieces = isPlainChatMl(template) ? chatMlPieces : await jinjaPieces(template, options);
  return (turns, rendering) => joinTokens(pieces(turns, rendering), options);
}

type MakePieces = (turns: readonly ChatTurn[], rendering: RenderOptions) => PromptPiece[];

function refuseChat(): never {
  throw new PlatformError(
    'not_supported',
    'the model file has no chat template; use /v1/completions with the prompt that the model expects',
  );
}

function joinTokens(pieces: readonly PromptPiece[], options: RendererOptions): number[] {
  const tokens = pieces.flatMap(({ text, fromUser }) =>
    text === '' ? [] : options.tokenize(text, !fromUser),
  );
  const { bosToPrepend } = options;
  return bosToPrepend === undefined || tokens[0] === bosToPrepend ? tokens : [bosToPrepend, ...tokens];
}

/** The bare ChatML loop, without the default system message, tools or reasoning that some models add. */
export function isPlainChatMl(template: string): boolean {
  return (
    template.includes('<|im_start|>') &&
    template.includes('<|im_end|>') &&
    !/tools|raise_exception|think|namespace|loop\.first|trim|strip/.test(template)
  );
}

export const chatMlPieces: MakePieces = (turns, { addGenerationPrompt, continueFinalMessage }) => {
  const pieces = turns.flatMap(({ role, content }, index): PromptPiece[] => {
    const open = continueFinalMessage && index === turns.length - 1;
    return [
      { text: '<|im_start|>', fromUser: false },
      { text: `${role}\n`, fromUser: true },
      { text: content, fromUser: true },
      ...(open ? [] : [{ text: '<|im_end|>\n', fromUser: false }]),
    ];
  });
  if (!addGenerationPrompt) return pieces;
  return [...pieces, { text: '<|im_start|>', fromUser: false }, { text: 'assistant\n', fromUser: true }];
};

async function jinjaPieces(template: string, options: RendererOptions): Promise<MakePieces> {
  const compiled = await compileJinja(template);
  return (turns, { addGenerationPrompt, continueFinalMessage }) => {
    const rendered = renderOrRefuse(compiled, {
      messages: turns.map(({ role }, index) => ({ role, content: placeholder(index) })),
      add_generation_prompt: addGenerationPrompt,
      bos_token: options.bosText,
      eos_token: options.eosText,
      tools: null,
      enable_thinking: false,
    });
    const pieces = splitAtPlaceholders(rendered, turns);
    return continueFinalMessage ? cutAfterLastMessage(pieces) : pieces;
  };
}

function renderOrRefuse(compiled: JinjaTemplate, values: Record<string, unknown>): string {
  try {
    return compiled.render(values);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      'invalid_request',
      `messages: the chat template of the model refuses them: ${reason}`,
      {
        param: 'messages',
        cause,
      },
    );
  }
}

/** Private-use characters, which no template writes itself. */
const placeholder = (index: number) => `\uf8f0${index}\uf8f1`;

function splitAtPlaceholders(rendered: string, turns: readonly ChatTurn[]): PromptPiece[] {
  return rendered.split(/\uf8f0(\d+)\uf8f1/).map((part, index) => {
    const fromUser = index % 2 === 1;
    return { text: fromUser ? (turns[Number(part)]?.content ?? '') : part, fromUser };
  });
}

function cutAfterLastMessage(pieces: readonly PromptPiece[]): PromptPiece[] {
  return pieces.slice(0, pieces.findLastIndex((piece) => piece.fromUser) + 1);
}

async function compileJinja(template: string): Promise<JinjaTemplate> {
  // The interpreter is a dependency of node-llama-cpp, so it is looked up from there.
  const fromHere = createRequire(import.meta.url);
  const fromLlama = createRequire(fromHere.resolve('node-llama-cpp'));
  const entry = pathToFileURL(fromLlama.resolve('@huggingface/jinja')).href;
  const { Template } = (await import(entry)) as { Template: new (source: string) => JinjaTemplate };
  try {
    return new Template(template);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      'model_file_invalid',
      `the chat template in the model file can not be read: ${reason}`,
      {
        cause,
      },
    );
  }
}
