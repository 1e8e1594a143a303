/** How requests are shared out: the words of configuration, snapshots and explanations. `decide/scheduling` gives them meaning. */

export const STRATEGY_NAMES = [
  'round-robin',
  'least-connections',
  'dynamic-weighted',
  'power-of-two',
  'prefix-cache',
  'session',
] as const;
export type StrategyName = (typeof STRATEGY_NAMES)[number];
export const DEFAULT_STRATEGY: StrategyName = 'least-connections';

/** Highest first; the place in this list is the priority of a request. */
export const PRIORITY_NAMES = ['high', 'normal', 'low'] as const;
export type PriorityName = (typeof PRIORITY_NAMES)[number];
export const DEFAULT_PRIORITY: PriorityName = 'normal';
