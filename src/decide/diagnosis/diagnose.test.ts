/**
 * What the signals of each fault lead to. Goal: every one of the 35 classes has a window that names it, and its look-alikes do
 * not. Method: small windows, built by hand; logs are read with a handful of rules, for the real ones have tests of their own.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FAULT_CLASSES, FAULTS, type FaultClass } from '../../contract/faults.ts';
import type { LogKnowledge, LogRole, LogRule } from '../../contract/log-rule.ts';
import { diagnose, strategyFor } from './diagnose.ts';
import { createLineReader } from './line-reader.ts';
import { type AttemptReading, LogScan } from './log-scan.ts';
import type { FlowSample, MetricSample, ProbeSample, SignalWindow } from './signals.ts';

const rule = (id: string, fault: FaultClass, role: LogRole, more: Partial<LogRule> = {}): LogRule => ({
  id,
  pattern: id,
  class: fault,
  role,
  weak: false,
  timesMin: 1,
  versions: 'all',
  sources: ['test'],
  examples: [id],
  ...more,
});
const knowledge: LogKnowledge = {
  rules: [
    rule('try setting', 'gpu-out-of-memory', 'advice'),
    rule('CUDA out of memory', 'gpu-out-of-memory', 'root'),
    rule('illegal access', 'cuda-sticky-error', 'root'),
    rule('watchdog', 'collective-timeout', 'cascade'),
    rule('core is dead', 'engine-core-dead', 'cascade'),
    rule('no broadcast block', 'shared-memory-heartbeat', 'confirmation', { weak: true }),
    rule('preempted', 'kv-exhausted', 'confirmation', { timesMin: 5 }),
    rule('health check failed', 'busy', 'confirmation'),
    rule('Killed', 'killed-from-outside', 'confirmation', { pattern: '^Killed$', weak: true }),
    rule('kernel-oom', 'host-out-of-memory', 'root', {
      id: 'kernel-oom',
      pattern: 'Out of memory: Killed process',
    }),
    rule('kernel-xid', 'gpu-lost', 'root', { id: 'kernel-xid', pattern: 'NVRM: Xid' }),
    rule('hit a bug', 'poison-request', 'root'),
  ],
  markers: [
    { kind: 'start', pattern: 'server starts', examples: ['x'] },
    { kind: 'phase', pattern: 'loading', examples: ['x'] },
    { kind: 'ready', pattern: 'server ready', examples: ['x'] },
    { kind: 'work', pattern: 'batch done', examples: ['x'] },
    { kind: 'stop', pattern: 'shutdown complete', examples: ['x'] },
  ],
  samples: [
    {
      pattern:
        'speed (?<generationPerS>[\\d.]{1,8}), running (?<running>\\d{1,5}), waiting (?<waiting>\\d{1,5})',
      examples: ['x'],
    },
  ],
};

function read(...lines: string[]): AttemptReading {
  const scan = new LogScan(createLineReader(knowledge));
  for (const line of lines) scan.push(line);
  return scan.result().attempts.at(-1) as AttemptReading;
}

/** Every second from 0 to `seconds`; `progress` says the counter. */
function metrics(
  seconds: number,
  progress: (s: number) => number,
  more: Partial<MetricSample> = {},
): MetricSample[] {
  return Array.from({ length: seconds + 1 }, (_, s) => ({
    atMs: s * 1000,
    ok: true as const,
    running: 2,
    waiting: 0,
    progressCount: progress(s),
    ...more,
  }));
}
const silent = (seconds: number): MetricSample[] =>
  Array.from({ length: seconds }, (_, s) => ({ atMs: s * 1000, ok: false as const }));
const flow = (seconds: number, tokens: (s: number) => number, more: Partial<FlowSample> = {}): FlowSample[] =>
  Array.from({ length: seconds + 1 }, (_, s) => ({
    atMs: s * 1000,
    inFlight: 2,
    tokensTotal: tokens(s),
    ...more,
  }));
const probe = (rung: ProbeSample['rung'], ok: boolean, more: Partial<ProbeSample> = {}): ProbeSample => ({
  atMs: 0,
  rung,
  ok,
  latencyMs: 5,
  ...more,
});
const serving = (more: Partial<SignalWindow>): SignalWindow => ({ nowMs: 0, phase: 'serving', ...more });
const ended = (code: number): NonNullable<SignalWindow['exit']> => ({
  exit: { kind: 'exited', code },
  asked: false,
});
const measured = { prefillTokensPerS: 1000, promptTokensMax: 1000 };

const WINDOWS: Record<FaultClass, SignalWindow> = {
  'engine-core-dead': serving({ log: read('server ready', 'core is dead'), exit: ended(1) }),
  'clean-exit-after-fatal': serving({ log: read('server ready', 'core is dead'), exit: ended(0) }),
  'cuda-sticky-error': serving({ log: read('server ready', 'illegal access', 'core is dead') }),
  'gpu-out-of-memory': serving({ log: read('server ready', 'CUDA out of memory', 'core is dead') }),
  'no-memory-at-start': { nowMs: 0, phase: 'starting', log: read('server starts', 'CUDA out of memory') },
  'host-out-of-memory': serving({ exit: ended(137), oomKills: 1 }),
  'killed-from-outside': serving({ exit: ended(137), oomKills: 0 }),
  'collective-timeout': serving({ log: read('watchdog') }),
  'engine-rpc-timeout': serving({
    log: {
      ...read('illegal access'),
      findings: read('illegal access').findings.map((f) => ({ ...f, class: 'engine-rpc-timeout' })),
    },
  }),
  'shared-memory-heartbeat': serving({
    log: read('no broadcast block'),
    metrics: metrics(30, () => 7),
    capacity: measured,
  }),
  hung: serving({
    metrics: metrics(30, () => 7),
    flow: flow(30, () => 99),
    capacity: measured,
    probes: [probe('health', true)],
  }),
  'head-of-line-deadlock': serving({
    metrics: metrics(30, () => 7, { running: 0, waiting: 3, kvRatio: 0 }),
    inFlight: [{ fingerprint: 'a', promptTokens: 900, maxTokens: 9000 }],
    capacity: { ...measured, kvCapacityTokens: 5000 },
  }),
  'watchdog-timeout': serving({
    engine: 'sglang',
    metrics: metrics(30, () => 7, { kvRatio: 0.97 }),
    capacity: measured,
  }),
  'child-dead': serving({ processes: { wrapperAlive: true, missing: ['scheduler'], orphans: [] } }),
  'slot-wedge': serving({
    engine: 'llama-server',
    metrics: metrics(30, () => 7),
    capacity: measured,
    probes: [probe('health', true), probe('slots', false, { why: 'timeout' })],
  }),
  busy: serving({
    metrics: metrics(30, (s) => s, { waiting: 40 }),
    probes: [probe('health', false, { why: 'timeout', latencyMs: 1000 })],
  }),
  'frontend-starved': serving({
    metrics: metrics(30, (s) => s),
    probes: [probe('health', true, { latencyMs: 38_000 })],
    processes: { wrapperAlive: true, missing: [], orphans: [], frontendCpuRatio: 1 },
  }),
  'orphan-holds-gpu': {
    nowMs: 0,
    phase: 'starting',
    processes: {
      wrapperAlive: true,
      missing: [],
      orphans: [{ pid: 7, name: 'VLLM::EngineCore', gpuBytes: 2e10 }],
    },
  },
  'gpu-lost': serving({
    kernelLog: read('NVRM: Xid'),
    log: read('illegal access', 'core is dead'),
    exit: ended(1),
  }),
  'driver-not-ready': { nowMs: 0, phase: 'starting', host: { replicas: 4, notReady: 4 } },
  'network-transient': serving({
    log: {
      ...read('illegal access'),
      findings: read('illegal access').findings.map((f) => ({ ...f, class: 'network-transient' })),
    },
  }),
  'shared-memory-too-small': serving({
    exit: { exit: { kind: 'signalled', signal: 'SIGBUS' }, asked: false },
    shmFreeBytes: 1e6,
  }),
  'kv-exhausted': serving({
    metrics: Array.from({ length: 10 }, (_, s) => ({
      atMs: s * 1000,
      ok: true as const,
      kvRatio: 0.99,
      preemptionsTotal: s * 4,
      progressCount: s,
      running: 9,
    })),
  }),
  'poison-request': serving({
    exit: ended(1),
    log: read('illegal access', 'core is dead'),
    inFlight: [
      { fingerprint: 'p', promptTokens: 9 },
      { fingerprint: 'q', promptTokens: 9 },
    ],
    incidents: [
      { atMs: 0, replica: 'm/1', class: 'cuda-sticky-error', duringStart: false, fingerprints: ['x', 'p'] },
    ],
  }),
  'stream-stall': serving({ metrics: metrics(30, (s) => s), flow: flow(30, (s) => s, { silentStreams: 1 }) }),
  'leaked-slots': serving({
    metrics: metrics(30, () => 7),
    flow: flow(30, () => 5, { inFlight: 0 }),
    capacity: measured,
  }),
  'corrupt-output': serving({ answers: { canary: 'wrong' } }),
  'slow-start': {
    nowMs: 0,
    phase: 'starting',
    start: { elapsedMs: 900_000, budgetMs: 600_000 },
    log: read('server starts', 'loading 7/9'),
  },
  'ready-too-early': serving({ answers: { refusedAfterReady: 3 } }),
  'bad-configuration': {
    nowMs: 0,
    phase: 'starting',
    exit: ended(1),
    incidents: [1, 2].map((atMs) => ({ atMs, replica: 'm/0', class: 'unknown' as const, duringStart: true })),
  },
  straggler: serving({ capacity: { stepMs: 30, peerStepsMs: [20, 21, 20] } }),
  'empty-success': serving({ answers: { emptySuccesses: 2 } }),
  'dead-parallel-rank': serving({
    metrics: metrics(30, () => 7),
    capacity: measured,
    ranks: { expected: 8, stepping: 7 },
  }),
  'kv-connector-stall': serving({
    metrics: metrics(30, () => 7, { running: 0, waiting: 4 }),
    capacity: measured,
    connector: { waiting: 4 },
  }),
  'gateway-fault': serving({ gateway: { eventLoopDelayP99Ms: 900, replicas: 3, silentReplicas: 3 } }),
};

it.each(Object.entries(WINDOWS))('%s', (fault, window) => {
  const found = diagnose(window);
  expect(found).toMatchObject({ class: fault });
  expect(found.confidence).toBeGreaterThanOrEqual(0.5);
  expect(found.evidence.length).toBeGreaterThan(0);
  expect(found.ruledOut.map(({ class: other }) => other)).not.toContain(fault);
});

it('has a window for each row of the taxonomy, and a strategy', () => {
  expect(Object.values(FAULTS).map(({ row }) => row)).toEqual(Array.from({ length: 35 }, (_, at) => at + 1));
  expect(Object.keys(WINDOWS)).toEqual(FAULT_CLASSES);
  expect(strategyFor('network-transient')).toBe('retry-with-backoff');
  expect(strategyFor('gpu-lost')).toBe('fail-over-and-rebuild');
  expect(strategyFor('dead-parallel-rank')).toBe('elect-by-majority');
  expect(strategyFor('unknown')).toBe('safe-shutdown');
  expect(strategyFor('none')).toBeNull();
});

describe('logs', () => {
  it('let no cascade win over a root, wherever the root stands', () => {
    const { class: fault, ruledOut } = diagnose(
      serving({ log: read('watchdog', 'core is dead', 'illegal access') }),
    );
    expect(fault).toBe('cuda-sticky-error');
    expect(ruledOut.map(({ class: other }) => other)).toEqual(['collective-timeout', 'engine-core-dead']);
  });

  it('take the earlier of two roots', () => {
    expect(diagnose(serving({ log: read('illegal access', 'CUDA out of memory') })).class).toBe(
      'cuda-sticky-error',
    );
  });

  it('never take advice for evidence, and know a fault that ends with advice', () => {
    expect(diagnose(serving({ log: read('try setting X against CUDA out of memory') })).class).toBe('none');
    const said = 'CUDA out of memory. If memory is fragmented try setting X.';
    expect(diagnose(serving({ log: read(said) })).class).toBe('gpu-out-of-memory');
  });

  it('make nothing of repetition within one attempt, and a storm of what comes often', () => {
    expect(diagnose(serving({ log: read(...Array<string>(50).fill('Killed')) })).class).toBe(
      'killed-from-outside',
    );
    expect(diagnose(serving({ log: read('preempted', 'preempted') })).class).toBe('none');
    expect(diagnose(serving({ log: read(...Array<string>(9).fill('preempted')) })).class).toBe(
      'kv-exhausted',
    );
    const looped = {
      nowMs: 0,
      phase: 'starting' as const,
      exit: ended(1),
      log: read(...Array<string>(9).fill('core is dead')),
    };
    expect(diagnose(looped).class).toBe('engine-core-dead');
  });

  it('say unknown where they end in words that no rule knows', () => {
    expect(diagnose({ nowMs: 0, log: read('batch done', 'KeyError: 7') })).toMatchObject({
      class: 'unknown',
      confidence: 0,
    });
    expect(diagnose({ nowMs: 0, log: read('KeyError: 7', 'batch done') }).class).toBe('none');
  });

  it('tell a busy engine from a dead one by the steps that follow its failed checks', () => {
    const at = (s: number, text: string) =>
      `[2026-11-21 10:${String(Math.floor(s / 60)).padStart(2, '0')}:${String(s % 60).padStart(2, '0')}] ${text}`;
    const checks = [0, 40, 80, 120].map((s) => at(s, 'health check failed'));
    expect(diagnose({ nowMs: 0, log: read('server ready', at(0, 'batch done'), ...checks) }).class).toBe(
      'hung',
    );
    const busy = diagnose({ nowMs: 0, log: read(...checks, at(130, 'batch done')) });
    expect(busy).toMatchObject({ class: 'busy', ruledOut: [{ class: 'hung' }] });
  });

  it('show a hang by the figures that an engine prints, and only beyond a minute', () => {
    const stats = (seconds: number, speed: number) =>
      Array.from({ length: seconds / 10 + 1 }, (_, at) => {
        const minute = String(Math.floor((at * 10) / 60)).padStart(2, '0');
        const second = String((at * 10) % 60).padStart(2, '0');
        return `[2026-11-21 10:${minute}:${second}] speed ${speed}, running 3, waiting 1`;
      });
    expect(diagnose({ nowMs: 0, log: read(...stats(120, 0)) }).class).toBe('hung');
    expect(diagnose({ nowMs: 0, log: read(...stats(30, 0)) }).class).toBe('none');
    expect(diagnose({ nowMs: 0, log: read(...stats(120, 9.5)) }).class).toBe('none');
  });
});

describe('ends', () => {
  it('do not call a bare 137 want of memory, and say why', () => {
    const bare = diagnose(serving({ exit: ended(137) }));
    expect(bare.class).toBe('killed-from-outside');
    expect(bare.ruledOut).toContainEqual({
      class: 'host-out-of-memory',
      why: expect.stringMatching(/137 alone is no proof/),
    });
    expect(
      diagnose(serving({ exit: ended(137), kernelLog: read('Out of memory: Killed process 7') })).class,
    ).toBe('host-out-of-memory');
  });

  it('are no fault when they were asked for', () => {
    expect(diagnose(serving({ exit: { exit: { kind: 'exited', code: 0 }, asked: true } })).class).toBe(
      'none',
    );
  });

  it('are unknown without a witness, and so is status 0', () => {
    expect(diagnose(serving({ exit: ended(1) })).class).toBe('unknown');
    expect(diagnose(serving({ exit: ended(0) })).class).toBe('unknown');
  });

  it('suspect no request for an end that came from outside', () => {
    const window = WINDOWS['poison-request'];
    const incidents = window.incidents?.map((incident) => ({
      ...incident,
      class: 'killed-from-outside' as const,
    }));
    expect(diagnose({ ...window, incidents: incidents ?? [] }).class).toBe('cuda-sticky-error');
    const innocent = diagnose({ ...window, inFlight: [{ fingerprint: 'q', promptTokens: 1 }] });
    expect(innocent).toMatchObject({ class: 'cuda-sticky-error' });
    expect(innocent.ruledOut.map(({ class: fault }) => fault)).toContain('poison-request');
  });
});

describe('stillness', () => {
  const still = WINDOWS.hung;
  const classOf = (more: Partial<SignalWindow>) => diagnose({ ...still, ...more }).class;

  it('is no hang within the time that the longest legal prefill takes', () => {
    expect(classOf({ capacity: { prefillTokensPerS: 1000, promptTokensMax: 20_000 } })).toBe('none');
    expect(classOf({ capacity: { prefillTokensPerS: 1000, promptTokensMax: 10_000 } })).toBe('hung');
    expect(classOf({ capacity: {} })).toBe('none');
  });

  it('counts only prompts that are still being read', () => {
    const capacity = { prefillTokensPerS: 1000, promptTokensMax: 100_000 };
    const long = { fingerprint: 'a', promptTokens: 20_000 };
    expect(classOf({ capacity, inFlight: [long] })).toBe('none');
    expect(classOf({ capacity, inFlight: [{ ...long, answered: true }] })).toBe('hung');
  });

  it('is found within 5 s where gaps are short, and not before', () => {
    const inFlight = [{ fingerprint: 'a', promptTokens: 9, answered: true }];
    expect(classOf({ metrics: metrics(5, () => 7), flow: flow(5, () => 9), inFlight })).toBe('hung');
    expect(classOf({ metrics: metrics(4, () => 7), flow: flow(4, () => 9), inFlight })).toBe('none');
    expect(
      classOf({
        metrics: metrics(5, () => 7),
        flow: flow(5, () => 9),
        inFlight,
        capacity: { gapP99Ms: 4000 },
      }),
    ).toBe('none');
  });

  it('is nothing in an idle engine, and begins with the work', () => {
    expect(
      classOf({
        metrics: metrics(300, () => 7, { running: 0, waiting: 0 }),
        flow: flow(300, () => 9, { inFlight: 0 }),
      }),
    ).toBe('none');
    const late = [
      ...metrics(300, () => 7, { running: 0 }),
      { atMs: 301_000, ok: true as const, running: 2, waiting: 0, progressCount: 7 },
    ];
    expect(classOf({ metrics: late, flow: [] })).toBe('none');
  });

  it('is not seen where a counter begins anew', () => {
    const reset = metrics(30, (s) => (s < 29 ? 900 + s : 0));
    expect(diagnose(serving({ metrics: reset, capacity: measured }))).toMatchObject({
      class: 'none',
      ruledOut: [{ class: 'hung', why: expect.stringMatching(/began anew/) }],
    });
  });

  it('is not concluded from a dead metrics endpoint while tokens arrive, and is where none do', () => {
    const alive = diagnose(serving({ metrics: silent(30), flow: flow(30, (s) => s), capacity: measured }));
    expect(alive).toMatchObject({
      class: 'unknown',
      ruledOut: [{ class: 'hung', why: expect.stringMatching(/tokens arrive/) }],
    });
    const starved = serving({
      metrics: silent(30),
      flow: flow(30, (s) => s),
      probes: [probe('health', true, { latencyMs: 40_000 })],
    });
    expect(diagnose(starved).class).toBe('frontend-starved');
    const dead = serving({
      metrics: silent(30),
      flow: flow(30, () => 9),
      probes: [probe('generation', false)],
      capacity: measured,
    });
    expect(diagnose(dead).class).toBe('hung');
    expect(diagnose(serving({ metrics: silent(30) })).class).toBe('unknown');
  });

  it('is not believed of a counter when tokens arrive', () => {
    expect(classOf({ flow: flow(30, (s) => s) })).toBe('none');
  });

  it('blames no request that fits', () => {
    const window = WINDOWS['head-of-line-deadlock'];
    const fits = diagnose({ ...window, capacity: { ...measured, kvCapacityTokens: 50_000 } });
    expect(fits).toMatchObject({
      class: 'hung',
      ruledOut: [{ class: 'head-of-line-deadlock' }, { class: 'busy' }].slice(0, 1),
    });
  });

  it('is no matter of latency: slow checks of an engine that moves restart nothing', () => {
    for (const fault of ['busy', 'frontend-starved', 'slow-start', 'stream-stall', 'kv-exhausted'] as const)
      expect(FAULTS[fault].restartHelps).toBe(false);
  });

  it('tells a refused connection from a saturated one', () => {
    expect(diagnose(serving({ probes: [probe('port', false, { why: 'refused' })] })).class).toBe(
      'child-dead',
    );
  });
});

describe('drifts', () => {
  const series = (value: (at: number) => number) =>
    Array.from({ length: 40 }, (_, at) => ({ atMs: at * 60_000, value: value(at) }));

  it('raise suspicion and nothing else', () => {
    const leaking = diagnose(
      serving({ rss: series((at) => 2 ** 30 * (1 + at / 20)), memoryLimitBytes: 4 * 2 ** 30 }),
    );
    expect(leaking.class).toBe('none');
    expect(new Set(leaking.suspicions.map(({ detector }) => detector))).toEqual(
      new Set(['moving-average', 'ewma']),
    );
    expect(leaking.suspicions.at(-1)?.text).toMatch(/reaches its limit of 4.00 GiB in about/);
    expect(diagnose(serving({ errorRate: series((at) => (at < 30 ? 0 : 0.4)) })).suspicions).toContainEqual(
      expect.objectContaining({ series: 'error rate', detector: 'z-score' }),
    );
    expect(
      diagnose(serving({ latencyPerToken: series((at) => (at < 30 ? 20 : 60)) })).suspicions.length,
    ).toBeGreaterThan(1);
  });

  it('are not seen in noise, in a step down, or in a few points', () => {
    const noise = (at: number) => 100 + Math.sin(at * 1.7) * 5;
    expect(
      diagnose(serving({ latencyPerToken: series(noise), rss: series((at) => 1e9 - at) })).suspicions,
    ).toEqual([]);
    expect(diagnose(serving({ rss: series((at) => at * 1e9).slice(0, 5) })).suspicions).toEqual([]);
  });
});

it('throws at no window, and is the same for the same (2,000 cases)', () => {
  const number = fc.oneof(
    fc.integer({ min: -10, max: 1e9 }),
    fc.constantFrom(0, Number.NaN, Number.POSITIVE_INFINITY),
  );
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(
      ...knowledge.rules.map(({ id }) => id),
      'server starts',
      'server ready',
      'batch done',
      'speed 0, running 1, waiting 2',
    ),
  );
  const sample = fc.oneof(
    fc.record(
      {
        atMs: number,
        ok: fc.constant(true as const),
        progressCount: number,
        running: number,
        waiting: number,
        kvRatio: number,
        preemptionsTotal: number,
      },
      { requiredKeys: ['atMs', 'ok'] },
    ),
    fc.record({ atMs: number, ok: fc.constant(false as const) }),
  );
  const window = fc.record(
    {
      nowMs: number,
      phase: fc.constantFrom('starting' as const, 'serving' as const),
      log: fc.array(line, { maxLength: 12, minLength: 1 }).map((lines) => read(...lines)),
      exit: fc.record({
        asked: fc.boolean(),
        exit: fc.oneof(
          fc.record({ kind: fc.constant('exited' as const), code: number }),
          fc.record({ kind: fc.constant('signalled' as const), signal: fc.string() }),
          fc.constant({ kind: 'unknown' as const }),
        ),
      }),
      oomKills: fc.oneof(number, fc.constant(null)),
      metrics: fc.array(sample, { maxLength: 20 }),
      flow: fc.array(fc.record({ atMs: number, inFlight: number, tokensTotal: number }), { maxLength: 20 }),
      rss: fc.array(fc.record({ atMs: number, value: number }), { maxLength: 40 }),
      memoryLimitBytes: number,
      inFlight: fc.array(fc.record({ fingerprint: fc.string(), promptTokens: number }), { maxLength: 4 }),
      incidents: fc.array(
        fc.record({
          atMs: number,
          replica: fc.string(),
          class: fc.constantFrom(...FAULT_CLASSES),
          duringStart: fc.boolean(),
          fingerprints: fc.array(fc.string(), { maxLength: 3 }),
        }),
        { maxLength: 4 },
      ),
      capacity: fc.record(
        {
          prefillTokensPerS: number,
          promptTokensMax: number,
          kvCapacityTokens: number,
          gapP99Ms: number,
          stepMs: number,
          peerStepsMs: fc.array(number),
        },
        { requiredKeys: [] },
      ),
      ranks: fc.record({ expected: number, stepping: number }),
    },
    { requiredKeys: ['nowMs'] },
  );
  fc.assert(
    fc.property(window, (given) => {
      const found = diagnose(given as SignalWindow);
      expect(found).toEqual(diagnose(given as SignalWindow));
      expect(found.confidence >= 0 && found.confidence <= 1).toBe(true);
      if (found.class !== 'none' && found.class !== 'unknown')
        expect(found.confidence).toBeGreaterThanOrEqual(0.5);
    }),
    { numRuns: 2_000 },
  );
});
