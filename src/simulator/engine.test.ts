import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PlatformError } from '../contract/errors.ts';
import type { CoreFinish, GenerateRequest, SamplingParams } from '../contract/ports/engine-core.ts';
import { SimulatedEngine, type SimulatedEngineOptions } from './engine.ts';
import { FaultBoard } from './faults/fault-board.ts';
import { type Fault, parseFaults } from './faults/fault-script.ts';
import { decode } from './tokenizer.ts';

/** A timer whose time moves only when told to. */
class ManualTimer {
  time = 0;
  #due: { atMs: number; run: () => void }[] = [];
  nowMs = () => this.time;
  schedule = (delayMs: number, run: () => void) => {
    const entry = { atMs: this.time + Math.max(0, delayMs), run };
    this.#due.push(entry);
    return () => {
      this.#due = this.#due.filter((other) => other !== entry);
    };
  };
  /** Lets time pass, with a turn of the event loop after each callback so that readers read. */
  async pass(ms: number): Promise<void> {
    const endMs = this.time + ms;
    for (;;) {
      const next = this.#due.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#due = this.#due.filter((entry) => entry !== next);
      this.time = Math.max(this.time, next.atMs);
      next.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.time = endMs;
  }
  get armed(): number {
    return this.#due.length;
  }
}

const GREEDY: SamplingParams = {
  temperature: 0, topP: 1, topK: 0, minP: 0, seed: undefined, presencePenalty: 0,
  frequencyPenalty: 0, repetitionPenalty: 1, logitBias: {},
}; // biome-ignore format: a table

function requestOf(changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    requestId: 'r', promptTokens: [300, 400, 500], maxTokens: 20, minTokens: 0, stopTokenIds: [], ignoreEos: true,
    sampling: GREEDY, topLogprobs: undefined, jsonSchema: undefined, priority: 0, ...changes,
  }; // biome-ignore format: a table
}

interface Reading {
  tokens: number[];
  /** When each token was read. */
  atMs: number[];
  finish?: CoreFinish;
  error?: unknown;
  done: Promise<void>;
  abort(reason: unknown): void;
}

let timer: ManualTimer;
let board: FaultBoard;
let fired: Fault[];
const engines: SimulatedEngine[] = [];

beforeEach(() => {
  timer = new ManualTimer();
  fired = [];
  board = new FaultBoard({ nowMs: timer.nowMs, onFire: (fault) => fired.push(fault), onChange: () => {} });
  board.becomeReady();
});

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
});

function engineOf(changes: Partial<SimulatedEngineOptions> = {}): SimulatedEngine {
  const engine = new SimulatedEngine({
    model: 'm', contextLength: 2048, modelSeed: 1, seed: 9, meanTokens: 50,
    limits: { maxNumSeqs: 8, maxBatchedTokens: 256, blockSize: 16, numBlocks: 512, maxWaiting: 16 },
    costs: { c0: 10, c1: 0, c2: 0, c3: 0, c4: 0 }, noiseSigma: 0, speed: 1, timer, faults: board,
    onOutOfMemory: () => fired.push({ action: 'out-of-memory', tokensOver: 1, when: {} }),
    currentAnswer: () => undefined,
    ...changes,
  }); // biome-ignore format: a table
  engines.push(engine);
  return engine;
}

function read(engine: SimulatedEngine, request: GenerateRequest): Reading {
  const controller = new AbortController();
  const reading: Reading = {
    tokens: [],
    atMs: [],
    done: Promise.resolve(),
    abort: (reason) => controller.abort(reason),
  };
  reading.done = (async () => {
    try {
      const stream = engine.generate(request, controller.signal);
      for (;;) {
        const next = await stream.next();
        if (next.done) {
          reading.finish = next.value;
          return;
        }
        for (const token of next.value) {
          reading.tokens.push(token.id);
          reading.atMs.push(timer.time);
        }
      }
    } catch (error) {
      reading.error = error;
    }
  })();
  return reading;
}

async function readAll(engine: SimulatedEngine, request: GenerateRequest): Promise<Reading> {
  const reading = read(engine, request);
  await timer.pass(60_000);
  await reading.done;
  return reading;
}

const arm = (fault: object) => {
  const armed = board.arm(parseFaults(fault, 'test')[0] as Fault);
  if (armed === undefined) throw new Error('the board is full');
  return armed;
};

describe('SimulatedEngine', () => {
  it('gives one token per step, and ends at the length asked for', async () => {
    const reading = await readAll(engineOf(), requestOf());
    expect(reading.tokens).toHaveLength(20);
    expect(reading.finish).toEqual({ reason: 'length' });
    expect(reading.atMs.slice(0, 3)).toEqual([10, 20, 30]);
  });

  it('steps all sequences together with one timer', async () => {
    const engine = engineOf();
    const readings = Array.from({ length: 8 }, (_, i) =>
      read(engine, requestOf({ promptTokens: [300 + i] })),
    );
    await timer.pass(1);
    expect(timer.armed).toBe(1);
    await timer.pass(220);
    for (const reading of readings) expect(reading.tokens).toHaveLength(20);
    expect(engine.metrics()).toMatchObject({ stepsTotal: 21, generationTokensTotal: 160, running: 0 });
  });

  it('writes the same text in two engines of one model seed, another one for another seed', async () => {
    const [a, b, c] = [engineOf({ seed: 1 }), engineOf({ seed: 2 }), engineOf({ modelSeed: 2 })];
    const [first, second, third] = [
      await readAll(a, requestOf()),
      await readAll(b, requestOf()),
      await readAll(c, requestOf()),
    ];
    expect(second.tokens).toEqual(first.tokens);
    expect(third.tokens).not.toEqual(first.tokens);
  });

  it('samples by seed and position, so that a sampled text can be continued', async () => {
    const sampled = (seed: number | undefined) => ({ ...GREEDY, temperature: 1, seed });
    const [one, two] = [engineOf({ seed: 1 }), engineOf({ seed: 2 })];
    const first = await readAll(one, requestOf({ sampling: sampled(5) }));
    expect((await readAll(two, requestOf({ sampling: sampled(5) }))).tokens).toEqual(first.tokens);
    expect((await readAll(two, requestOf({ sampling: sampled(6) }))).tokens).not.toEqual(first.tokens);
    const rest = await readAll(
      two,
      requestOf({
        sampling: sampled(5),
        promptTokens: [300, 400, 500, ...first.tokens.slice(0, 8)],
        maxTokens: 12,
      }),
    );
    expect(rest.tokens).toEqual(first.tokens.slice(8));
    const unseeded = [
      await readAll(one, requestOf({ sampling: sampled(undefined) })),
      await readAll(two, requestOf({ sampling: sampled(undefined) })),
    ];
    expect(unseeded[0]?.tokens).not.toEqual(unseeded[1]?.tokens);
  });

  it('ends by itself, but not before the least number of tokens', async () => {
    const ended = await readAll(engineOf(), requestOf({ ignoreEos: false, maxTokens: 2000 }));
    expect(ended.finish?.reason).toBe('stop');
    const longer = await readAll(
      engineOf(),
      requestOf({ ignoreEos: false, maxTokens: 2000, minTokens: ended.tokens.length + 1 }),
    );
    expect(longer.tokens.length).toBeGreaterThan(ended.tokens.length);
    expect(longer.tokens.slice(0, ended.tokens.length)).toEqual(ended.tokens);
  });

  it('ends at a stop token without giving it', async () => {
    const whole = await readAll(engineOf(), requestOf());
    const stop = whole.tokens[5] as number;
    const stopped = await readAll(engineOf(), requestOf({ stopTokenIds: [stop] }));
    expect(stopped.tokens).toEqual(whole.tokens.slice(0, whole.tokens.indexOf(stop)));
    expect(stopped.finish).toEqual({ reason: 'stop', stopTokenId: stop });
  });

  it('frees the slot at once when the signal fires or the reader leaves', async () => {
    const engine = engineOf();
    const reading = read(engine, requestOf());
    await timer.pass(35);
    reading.abort(new PlatformError('client_closed', 'gone'));
    expect(engine.metrics()).toMatchObject({ running: 0, kvCacheUsageRatio: 0, finishedTotal: { abort: 1 } });
    await reading.done;
    expect(reading.error).toMatchObject({ code: 'client_closed' });

    const stream = engine.generate(requestOf(), new AbortController().signal);
    const first = stream.next();
    await timer.pass(20);
    await first;
    await stream.return({ reason: 'length' });
    expect(engine.metrics().running).toBe(0);
  });

  it('refuses what does not fit into its queue', async () => {
    const engine = engineOf({
      limits: { maxNumSeqs: 1, maxBatchedTokens: 256, blockSize: 16, numBlocks: 512, maxWaiting: 2 },
    });
    const readings = Array.from({ length: 3 }, () => read(engine, requestOf()));
    await timer.pass(15);
    expect(engine.canAccept()).toBe(false);
    const refused = read(engine, requestOf());
    await refused.done;
    expect(refused.error).toMatchObject({ code: 'saturated', retryAfterS: 1 });
    await timer.pass(2000);
    for (const reading of readings) expect(reading.tokens).toHaveLength(20);
  });

  it('gives the same text when it had to preempt', async () => {
    const undisturbed = await readAll(engineOf(), requestOf({ maxTokens: 100 }));
    arm({ action: 'preemption-storm', perStep: 1, durationMs: 300 });
    const engine = engineOf();
    const readings = [
      read(engine, requestOf({ maxTokens: 100 })),
      read(engine, requestOf({ maxTokens: 100 })),
    ];
    await timer.pass(5000);
    for (const reading of readings) expect(reading.tokens).toEqual(undisturbed.tokens);
    expect(engine.metrics().preemptionsTotal).toBeGreaterThan(10);
  });

  it('writes JSON for a schema, goes on with it elsewhere, and adds logprobs when asked', async () => {
    const jsonSchema = { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' } } };
    const whole = await readAll(engineOf(), requestOf({ jsonSchema, maxTokens: 500, ignoreEos: false }));
    expect(JSON.parse(Buffer.from(decode(whole.tokens)).toString())).toHaveProperty('a');
    const rest = await readAll(
      engineOf(),
      requestOf({
        jsonSchema,
        maxTokens: 500,
        promptTokens: [300, 400, 500, ...whole.tokens.slice(0, 4)],
        generatedPrefix: 4,
      }),
    );
    expect(rest.tokens).toEqual(whole.tokens.slice(4));

    const stream = engineOf().generate(requestOf({ topLogprobs: 3 }), new AbortController().signal);
    const next = stream.next();
    await timer.pass(15);
    const [token] = (await next).value as {
      logprob: number;
      topLogprobs: { logprob: number; id: number }[];
      id: number;
    }[];
    expect(token?.topLogprobs.map(({ logprob }) => logprob)).toEqual(
      token?.topLogprobs.map(({ logprob }) => logprob).sort((a, b) => b - a),
    );
    expect(token?.topLogprobs[0]?.id).toBe(token?.id);
    expect(token?.logprob).toBeLessThan(0);
    await stream.return({ reason: 'length' });
  });

  it('embeds texts as vectors of length 1, near for near texts', async () => {
    const engine = engineOf();
    const embed = (text: string) =>
      engine.embed(engine.tokenize(text, { parseSpecial: false }), new AbortController().signal);
    const [a, b, c] = [
      await embed('the cold window'),
      await embed('the cold winter'),
      await embed('profit zebra lathe'),
    ];
    const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * (y[i] as number), 0);
    expect(dot(a, a)).toBeCloseTo(1, 10);
    expect(dot(a, b)).toBeGreaterThan(dot(a, c));
  });

  it('classifies texts by what they hold, always alike', async () => {
    const engine = engineOf();
    const classify = (text: string) =>
      engine.classify(engine.tokenize(text, { parseSpecial: false }), new AbortController().signal);
    const words = [
      'window',
      'winter',
      'profit',
      'zebra',
      'lathe',
      'copper',
      'thread',
      'rain',
      'second',
      'gold',
    ];
    const found = await Promise.all(words.map(classify));
    expect(new Set(found.map(({ label }) => label)).size).toBe(2);
    for (const { label, probs } of found) {
      expect(probs.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 10);
      expect(label).toBe(`LABEL_${probs.indexOf(Math.max(...probs))}`);
    }
    expect(await classify('window')).toEqual(found[0]);
  });
});

describe('SimulatedEngine under faults', () => {
  it('makes no step while it hangs, and goes on where it was', async () => {
    const engine = engineOf();
    const reading = read(engine, requestOf());
    await timer.pass(55);
    const armed = arm({ action: 'hang' });
    await timer.pass(10_000);
    expect(reading.tokens).toHaveLength(5);
    expect(engine.metrics()).toMatchObject({ stepsTotal: 5, running: 1 });
    board.disarm(armed.id);
    engine.kick();
    await timer.pass(1000);
    expect(reading.tokens).toHaveLength(20);
  });

  it('hangs one request while the others go on', async () => {
    const engine = engineOf();
    const [stuck, other] = [read(engine, requestOf()), read(engine, requestOf())];
    await timer.pass(35);
    engine.reconsiderFaults(arm({ action: 'hang-request', when: { atToken: 5 } }));
    await timer.pass(1000);
    expect(stuck.tokens).toHaveLength(5);
    expect(other.tokens).toHaveLength(20);
    expect(engine.metrics()).toMatchObject({ running: 1, kvCacheUsageRatio: 1 / 512 });
  });

  it('takes longer for each step when it is slow', async () => {
    arm({ action: 'slow', factor: 5 });
    expect((await readAll(engineOf(), requestOf())).atMs.slice(0, 2)).toEqual([50, 100]);
  });

  it('writes nothing but exclamation marks when the text is corrupt', async () => {
    arm({ action: 'corrupt-text' });
    const engine = engineOf();
    const reading = await readAll(engine, requestOf({ maxTokens: 5 }));
    expect(Buffer.from(decode(reading.tokens)).toString()).toBe('!!!!!');
    expect(engine.corruptedTokensTotal).toBe(5);
  });

  it('fires a poison fault when the prompt is computed, each time', async () => {
    const engine = engineOf();
    arm({ action: 'exit', when: { promptContains: 'zebra' } });
    const poison = engine.tokenize('a zebra came', { parseSpecial: false });
    read(engine, requestOf());
    await timer.pass(1000);
    expect(fired).toEqual([]);
    read(engine, requestOf({ promptTokens: poison }));
    read(engine, requestOf({ promptTokens: poison }));
    await timer.pass(1000);
    expect(fired.map(({ action }) => action)).toEqual(['exit', 'exit']);
  });

  it('fires it also for a text that is embedded or classified, and holds one back where it says so', async () => {
    const engine = engineOf();
    const poison = engine.tokenize('a zebra came', { parseSpecial: false });
    const { signal } = new AbortController();
    arm({ action: 'exit', when: { promptContains: 'zebra' } });
    arm({ action: 'hang-request' });
    await engine.embed([300, 400], signal);
    expect(fired).toEqual([]);
    await engine.embed(poison, signal);
    await engine.classify(poison, signal);
    expect(fired.map(({ action }) => action)).toEqual(['exit', 'exit']);
    arm({ action: 'hang-request', when: { promptTokensOver: 2 } });
    const leaving = new AbortController();
    const held = engine.embed([300, 400, 500], leaving.signal);
    leaving.abort(new Error('left'));
    await expect(held).rejects.toThrow('left');
  });

  it('runs out of memory over a threshold of tokens', async () => {
    arm({ action: 'out-of-memory', tokensOver: 100 });
    const engine = engineOf();
    await readAll(engine, requestOf({ maxTokens: 5 }));
    expect(fired.map(({ action }) => action)).toEqual(['out-of-memory']);
    fired.length = 0;
    await readAll(
      engine,
      requestOf({ promptTokens: Array.from({ length: 120 }, (_, i) => 300 + i), maxTokens: 1 }),
    );
    expect(fired.map(({ action }) => action)).toEqual(['out-of-memory']);
  });

  it('counts tokens of the whole process for faults of the process', async () => {
    arm({ action: 'exit', when: { atToken: 30 } });
    const engine = engineOf();
    read(engine, requestOf());
    read(engine, requestOf());
    await timer.pass(155);
    expect(fired).toEqual([]);
    await timer.pass(10);
    expect(fired.map(({ action }) => action)).toEqual(['exit']);
  });
});
