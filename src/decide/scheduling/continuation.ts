/**
 * By which tiers may a cut stream go on? (docs/continuation.md; tiers as in the glossary.) The answer is a list in order of
 * preference; the gateway tries one after the other, and D, the typed error, always ends it.
 */
import type { ContinuationRequest, ContinuationTier, DeliveredSummary } from '../../contract/continuation.ts';
import type { EngineCapabilities } from '../../contract/fleet.ts';

export interface ContinuationPlan {
  tiers: ContinuationTier[];
  reason: string;
}

export function planContinuation(
  request: ContinuationRequest,
  delivered: DeliveredSummary,
  engine: EngineCapabilities,
): ContinuationPlan {
  const repeatable =
    (request.greedy && engine.determinism !== 'none') || (request.seeded && engine.determinism === 'seeded');
  const replay: ContinuationTier[] = repeatable ? ['C', 'D'] : ['D'];
  if (delivered.opaque) {
    return { tiers: ['D'], reason: 'something was delivered that can not be compared with a replay' };
  }
  const replayOnly = whyReplayOnly(request, delivered);
  if (replayOnly !== null) {
    return { tiers: replay, reason: `${replayOnly}: only a full replay can be exact` };
  }

  // Raw completions report logprobs in another shape than chat does.
  const rawFits = engine.tokenReplay && !(request.logprobs && request.endpoint === 'chat');
  const byIds: ContinuationTier[] = rawFits && delivered.tokenIds ? ['A'] : [];
  const trimmed = engine.trimsPrefill === true && delivered.trimmable;
  const textGoesOn =
    request.endpoint === 'completions'
      ? engine.templatesCompletions !== true
      : engine.chatContinuation && !trimmed;
  const byText: ContinuationTier[] = textGoesOn ? ['B'] : [];
  /** Tier A without ids from the stream: the engine tokenizes prompt and delivered text. */
  const byTokenizing: ContinuationTier[] = rawFits && engine.tokenize && !delivered.tokenIds ? ['A'] : [];

  if (request.penalties && repeatable) {
    return {
      tiers: ['C', ...byText, 'D'],
      reason: 'penalties count generated tokens: a full replay keeps them',
    };
  }
  // A text seam is exact at token borders alone; a stop string held back by characters may have cut inside a token.
  const seamInsideToken = request.stopStrings && !engine.wholeTokenEvents;
  // Sampled text that is seeded can be repeated exactly, which no seam of ours guarantees as surely.
  const preferReplay =
    repeatable && (seamInsideToken || (request.seeded && !request.greedy && byIds.length === 0));
  if (preferReplay) {
    return {
      tiers: [...byIds, 'C', ...byText, ...byTokenizing, 'D'],
      reason: 'the replay is exact, a text seam may not be',
    };
  }
  if (delivered.trimmable && request.endpoint === 'chat' && !engine.wholeTokenEvents) {
    return {
      tiers: [...byIds, ...byTokenizing, ...byText, ...replay],
      reason: 'white space at the seam: token ids first, templates may trim it',
    };
  }
  return {
    tiers: [...byIds, ...byText, ...byTokenizing, ...replay],
    reason: 'plain text continues at an event border',
  };
}

function whyReplayOnly(request: ContinuationRequest, delivered: DeliveredSummary): string | null {
  if (request.n > 1) return `n = ${request.n}`;
  if (request.structured) return 'structured output';
  if (request.tools) return 'tools';
  if (delivered.otherThanText) return 'tool calls or reasoning were delivered';
  if (request.echo) return 'echo';
  if (!request.extendable) return 'the prompt is not plain text';
  return null;
}
