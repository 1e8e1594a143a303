/**
 * The attempts that a worker has under way: whom their engines keep waiting, and which of them to end so that they go on elsewhere.
 * Looked at when the supervisor asks, never on the path of a request.
 */
import type { WaitingAttempts } from '../../contract/flow.ts';
import type { Attempt } from './attempt.ts';

/** Of those without a token, by replica id. */
export function waitingAttempts(attempts: Iterable<Attempt>): Record<string, WaitingAttempts> {
  const waiting: Record<string, WaitingAttempts> = {};
  for (const { replicaId, bodyBytes, isWaiting } of attempts) {
    if (!isWaiting) continue;
    const known = waiting[replicaId] ?? { count: 0, bytesMax: 0 };
    waiting[replicaId] = { count: known.count + 1, bytesMax: Math.max(known.bytesMax, bodyBytes) };
  }
  return waiting;
}

/** Says how many were ended. `longest`: the one with the longest body of those without a token. */
export function giveUpAttempts(
  attempts: Iterable<Attempt>,
  replicaId: string,
  which: 'all' | 'longest',
): number {
  const there = [...attempts].filter((attempt) => attempt.replicaId === replicaId);
  const chosen =
    which === 'all'
      ? there
      : there
          .filter(({ isWaiting }) => isWaiting)
          .toSorted((a, b) => b.bodyBytes - a.bodyBytes)
          .slice(0, 1);
  for (const attempt of chosen) attempt.giveUp();
  return chosen.length;
}
