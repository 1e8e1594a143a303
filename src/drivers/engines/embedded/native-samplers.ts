/**
 * Keeps native samplers for the next token. The library makes one per evaluation, and we evaluate once per token; each holds a
 * table of the whole vocabulary (12 bytes a token) that is freed only when JavaScript's collector finds the wrapper, which sees
 * nothing of those megabytes. Measured without this: hundreds of megabytes after some minutes of load.
 *
 * Reaches into the library's private bindings. The package is pinned exactly; where they look different, nothing is kept, and
 * all works as before.
 */
import type { Llama } from 'node-llama-cpp';

interface NativeSampler {
  applyConfig(config: { temperature: number; seed: number }): void;
  dispose(): void;
}

type SamplerClass = new (model: unknown) => NativeSampler;

const KEPT_MAX = 512;

/**
 * Drops grammar, biases and penalties of the last use. The seed is one that no token has: a sampler that is given the seed it has
 * already would go on in its series instead of starting it.
 */
const RESET = { temperature: 0, seed: 0xfffffffe };

export function keepNativeSamplers(llama: Llama): void {
  const bindings = (llama as unknown as { _bindings?: { AddonSampler?: SamplerClass } })._bindings;
  const native = bindings?.AddonSampler;
  if (bindings === undefined || typeof native !== 'function') return;
  bindings.AddonSampler = keptSamplers(native);
}

/** A class that behaves as `native`, but whose instances come back after `dispose`. */
export function keptSamplers(native: SamplerClass): SamplerClass {
  const idle: NativeSampler[] = [];
  let owner: unknown;
  return new Proxy(native, {
    construct: (target, [model]: [unknown]) => {
      owner ??= model;
      // One process serves one model; samplers of any other are not kept.
      if (model !== owner) return new target(model);
      return idle.pop() ?? lend(new target(model), idle);
    },
  });
}

function lend(sampler: NativeSampler, idle: NativeSampler[]): NativeSampler {
  const destroy = sampler.dispose.bind(sampler);
  const giveBack = () => {
    if (idle.includes(sampler)) return;
    if (idle.length >= KEPT_MAX) return destroy();
    sampler.applyConfig(RESET);
    idle.push(sampler);
  };
  // Methods of native classes are read-only, so an assignment would fail.
  Object.defineProperty(sampler, 'dispose', { value: giveBack });
  return sampler;
}
