/** For tests of failover: two scripted engines that serve one model behind a gateway process of their own. */
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import { poolOf, type RunningGateway, startGateway } from './gateway-under-test.ts';
import {
  type Script,
  type ScriptedEngine,
  type SeenRequest,
  startScriptedEngine,
} from './scripted-engine.ts';

export interface ScriptedPair {
  gateway: RunningGateway;
  engines: readonly [ScriptedEngine, ScriptedEngine];
  /** The next request plays `first`, whichever engine is asked; all that follow play `then`, which continues it. */
  play(first: Script, then?: Script): void;
  /** Requests that the engines got, but for questions about tokens. */
  asked(): SeenRequest[];
  /** As at the start; for afterEach. */
  reset(): void;
  stop(): Promise<void>;
}

export async function startScriptedPair(
  model: string,
  settings: Partial<GatewaySettings> = {},
  options: { stateDir?: string } = {},
): Promise<ScriptedPair> {
  const engines = [await startScriptedEngine(), await startScriptedEngine()] as const;
  const pool = poolOf(
    model,
    engines.map(({ url }) => ({ url })),
  );
  const gateway = await startGateway([pool], settings, options);
  const play = (first: Script | null, then: Script) => {
    // One queue for both: whoever is asked first takes what is in it.
    const next = first === null ? [] : [first];
    for (const engine of engines) Object.assign(engine, { next, base: then });
  };
  return {
    gateway,
    engines,
    play: (first, then = {}) => play(first, then),
    asked: () => engines.flatMap(({ seen }) => seen).filter(({ path }) => path !== '/tokenize'),
    reset: () => {
      play(null, {});
      for (const engine of engines) engine.seen = [];
    },
    stop: async () => {
      await gateway.stop();
      for (const engine of engines) await engine.close();
    },
  };
}
