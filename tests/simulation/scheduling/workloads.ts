/** Arrivals of the scheduling simulation: Poisson streams of requests with prompts of token ids. */
import type { Random } from '../../../src/base/random.ts';
import type { GatewayWorld, RequestPlan } from './gateway-world.ts';

/** Plans arrivals at `perSecond` from `fromMs` to `toMs`, with exponential gaps. */
export function arrivals(
  world: GatewayWorld,
  chance: Random,
  perSecond: number,
  [fromMs, toMs]: readonly [number, number],
  make: () => RequestPlan,
): void {
  const next = (atMs: number) => {
    const then = atMs - (Math.log(1 - chance.next()) * 1_000) / perSecond;
    if (then >= toMs) return;
    world.at(then, () => {
      world.request(make());
      next(then);
    });
  };
  next(fromMs);
}

export function randomPrompt(chance: Random, tokens: number): number[] {
  return Array.from({ length: tokens }, () => chance.int(60_000));
}

/** Prompts that begin with one of `count` long beginnings, and go on with something of their own. */
export function sharedPrefixes(chance: Random, count: number, prefixTokens: number): () => number[] {
  const prefixes = Array.from({ length: count }, () => randomPrompt(chance, prefixTokens));
  return () => [...chance.pick(prefixes), ...randomPrompt(chance, 64)];
}
