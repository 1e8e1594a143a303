/** Chat messages to prompt tokens (ChatML). Texts of users are encoded without special tokens, so they can not smuggle any in. */
import type { ChatTurn, RenderOptions } from '../contract/ports/engine-core.ts';
import { END_OF_TURN, encode, TURN_START } from './tokenizer.ts';

const NEWLINE = 0x0a;

export function renderChat(messages: readonly ChatTurn[], options: RenderOptions): number[] {
  const tokens: number[] = [];
  messages.forEach(({ role, content }, index) => {
    tokens.push(TURN_START, ...encode(role, false), NEWLINE);
    for (const token of encode(content, false)) tokens.push(token);
    const open = options.continueFinalMessage && index === messages.length - 1;
    if (!open) tokens.push(END_OF_TURN, NEWLINE);
  });
  if (options.addGenerationPrompt) tokens.push(TURN_START, ...encode('assistant', false), NEWLINE);
  return tokens;
}
