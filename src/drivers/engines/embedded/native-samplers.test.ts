import { describe, expect, it } from 'vitest';
import { keptSamplers } from './native-samplers.ts';

class FakeSampler {
  static made = 0;
  static staticMethod() {
    return 'static';
  }
  readonly model: unknown;
  readonly configs: { seed: number }[] = [];
  destroyed = false;
  constructor(model: unknown) {
    FakeSampler.made++;
    this.model = model;
  }
  applyConfig(config: { temperature: number; seed: number }) {
    this.configs.push(config);
  }
  dispose() {
    this.destroyed = true;
  }
}

describe('native samplers', () => {
  it('come back after their use, reset, with a seed that no token has', () => {
    const Kept = keptSamplers(FakeSampler) as typeof FakeSampler;
    const model = {};
    const first = new Kept(model);
    first.dispose();
    expect(first.destroyed).toBe(false);
    expect(first.configs.at(-1)?.seed).toBeGreaterThan(2 ** 31);
    expect(new Kept(model)).toBe(first);
    expect(Kept.staticMethod()).toBe('static');
  });

  it('are never lent to two, also when one is given back twice', () => {
    const Kept = keptSamplers(FakeSampler) as typeof FakeSampler;
    const model = {};
    const first = new Kept(model);
    first.dispose();
    first.dispose();
    expect(new Kept(model)).not.toBe(new Kept(model));
  });

  it('are not kept for another model', () => {
    const Kept = keptSamplers(FakeSampler) as typeof FakeSampler;
    new Kept({}).dispose();
    const other = new Kept({});
    other.dispose();
    expect(other.destroyed).toBe(true);
  });
});
