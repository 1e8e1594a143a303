import { describe, expect, it } from 'vitest';
import { PrefillShare, ROUND_PROMPT_TOKENS } from './prefill-share.ts';

/** Lets `count` sequences be at their prompts while `check` runs. */
async function withSequences(share: PrefillShare, count: number, check: () => void): Promise<void> {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const prefills = Array.from({ length: count }, () => share.during(() => ended));
  check();
  end();
  await Promise.all(prefills);
}

describe('prefill share', () => {
  it('shares a round out over the sequences that are at their prompts', async () => {
    const share = new PrefillShare(true);
    await withSequences(share, 1, () => expect(share.pieceTokens).toBe(ROUND_PROMPT_TOKENS.exact));
    await withSequences(share, 8, () => expect(share.pieceTokens).toBe(ROUND_PROMPT_TOKENS.exact / 8));
    await withSequences(share, 256, () => expect(share.pieceTokens).toBe(1));
  });

  it('counts a sequence out when its prompt fails', async () => {
    const share = new PrefillShare(false);
    await expect(share.during(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    await withSequences(share, 2, () => expect(share.pieceTokens).toBe(ROUND_PROMPT_TOKENS.full / 2));
  });
});
