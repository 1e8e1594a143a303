/**
 * Canaries: a tiny generation whose right answer is known, asked before a replica takes traffic and now and then while it does.
 * What is known is shared by the engines that were started alike.
 */
import type { EngineDriver, EngineTarget } from '../../../contract/ports/engine-driver.ts';
import { judgeCanary, type KnownAnswer } from '../../../decide/diagnosis/canary.ts';

export interface CanaryResult {
  ok: boolean;
  detail: string;
}

export class Canaries {
  readonly #known = new Map<string, KnownAnswer>();

  /** `alike`: the same for engines that give the same answers. Null: it was not answered, which proves nothing. */
  async ask(
    driver: EngineDriver,
    target: EngineTarget,
    alike: string,
    signal: AbortSignal,
  ): Promise<CanaryResult | null> {
    const answer = await driver.canary?.(target, signal);
    if (answer === undefined || answer.text === null) return null;
    const deterministic = driver.capabilities.determinism !== 'none';
    const { ok, why, known } = judgeCanary(answer.text, this.#known.get(alike), deterministic);
    this.#known.set(alike, known);
    return { ok, detail: ok ? 'its canary passed' : `its canary is wrong: ${why}` };
  }
}
