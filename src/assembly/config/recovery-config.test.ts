import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FAULT_CLASSES } from '../../contract/faults.ts';
import { DEFAULT_RECOVERY_POLICY } from '../../contract/recovery-defaults.ts';
import type { PolicyClass } from '../../contract/recovery-policy.ts';
import { REMEDY_NAMES } from '../../contract/remedies.ts';
import { loadConfig } from './load-config.ts';
import { parseRecovery, readLoneRecovery } from './load-recovery.ts';
import { ladderText } from './recovery-text.ts';
import { resolveConfig } from './resolve-config.ts';
import { resolveRecovery } from './resolve-recovery.ts';

/** The file as users have it; docs/auto-recovery.md shows it. */
const SAMPLE = `# auto-recovery.yaml
monitoring:
  interval: 2s
  metrics: [gpu_memory, cpu_load, request_queue]
recovery:
  strategies:
    oom: { action: restart_process, delay: 1s }
    deadlock: { action: clear_queue_and_reset }
`;

const environment = { variables: { WAIT: '3s', SURE: '0.8' }, homeDir: '/home/x', workDir: '/' };
const resolve = (text: string) => resolveRecovery(parseRecovery('r.yaml', text, environment));
const strategies = (text: string) => resolve(`recovery: { strategies: { ${text} } }`);
const ladder = (text: string, name: PolicyClass) =>
  ladderText(strategies(text).policy.strategies[name].ladder);
const standard = (name: PolicyClass) => ladderText(DEFAULT_RECOVERY_POLICY.strategies[name].ladder);

function complaints(text: string): string[] {
  try {
    parseRecovery('r.yaml', text, environment);
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  return [];
}

describe('the recovery policy file', () => {
  it('is accepted as written and does what it says', () => {
    const { policy, notes, origins } = resolve(SAMPLE);
    expect(notes).toEqual([]);
    expect(policy.monitoring).toEqual({
      ...DEFAULT_RECOVERY_POLICY.monitoring,
      intervalMs: 2_000,
      metrics: [
        'gpu_memory',
        'cpu_load',
        'host_memory',
        'request_queue',
        'progress',
        'processes',
        'logs',
        'kernel_log',
        'containers',
      ],
    });
    for (const name of ['gpu-out-of-memory', 'host-out-of-memory'] as const) {
      expect(policy.strategies[name].ladder[0]?.remedy).toBe('restart_process');
      expect(policy.strategies[name].delayMs).toBe(1_000);
      expect(origins[name]).toBe('oom');
    }
    for (const name of ['hung', 'head-of-line-deadlock', 'slot-wedge', 'leaked-slots'] as const)
      expect(policy.strategies[name].ladder[0]?.remedy).toBe('clear_queue_and_reset');
    expect(policy.strategies['engine-core-dead']).toEqual(
      DEFAULT_RECOVERY_POLICY.strategies['engine-core-dead'],
    );
  });

  it('is what its page shows', () => {
    const page = readFileSync(resolvePath(import.meta.dirname, '../../../docs/auto-recovery.md'), 'utf8');
    expect(page).toContain(`\`\`\`yaml\n${SAMPLE}\`\`\``);
  });

  it('is that of nobody when it is empty', () => {
    expect(resolve('').policy).toEqual(DEFAULT_RECOVERY_POLICY);
    expect(resolveRecovery(undefined).policy).toEqual(DEFAULT_RECOVERY_POLICY);
  });

  it('never stops looking at what tells one fault from another, whatever figures it names', () => {
    const { metrics } = resolve('monitoring: { metrics: [] }').policy.monitoring;
    expect(metrics).toEqual(['host_memory', 'progress', 'processes', 'logs', 'kernel_log', 'containers']);
  });

  it('takes times with units, numbers of milliseconds, and what the environment says', () => {
    const { policy } = resolve(`
monitoring: { interval: 500, cpu: { above: 0.8, for: 1m }, hang: { floor: 1.5s, unmeasured: 90s } }
recovery:
  automatic: false
  confidence: \${SURE}
  floor: 2
  verify_timeout: \${WAIT}
  ladder_window: 1h
  fallback_env: { NCCL_IB_DISABLE: "1" }
`);
    expect(policy).toEqual({
      automatic: false,
      monitoring: {
        ...DEFAULT_RECOVERY_POLICY.monitoring,
        intervalMs: 500,
        cpuRatio: 0.8,
        cpuForMs: 60_000,
        hangFloorMs: 1_500,
        hangUnmeasuredMs: 90_000,
      },
      confidenceMin: 0.8,
      floor: 2,
      verifyMs: 3_000,
      ladderWindowMs: 3_600_000,
      fallbackEnv: { NCCL_IB_DISABLE: '1' },
      strategies: DEFAULT_RECOVERY_POLICY.strategies,
    });
  });
});

describe('the ladder of an entry', () => {
  it('begins with its action and goes on as the default does after it', () => {
    expect(standard('gpu-out-of-memory')).toBe('restart_process, restart_safer x 3, quarantine');
    expect(ladder('gpu-out-of-memory: { action: restart_safer }', 'gpu-out-of-memory')).toBe(
      'restart_safer x 3, quarantine',
    );
    expect(ladder('gpu-out-of-memory: { action: restart_process, times: 2 }', 'gpu-out-of-memory')).toBe(
      'restart_process x 2, restart_safer x 3, quarantine',
    );
  });

  it('has all of the default after an action that is not in it', () => {
    expect(ladder('hung: { action: clear_queue_and_reset }', 'hung')).toBe(
      `clear_queue_and_reset, ${standard('hung')}`,
    );
  });

  it('has what `then` says instead, and nothing where that is empty', () => {
    const text = 'hung: { action: restart_process, then: [page, { action: quarantine, times: 2 }] }';
    expect(strategies(text).policy.strategies.hung.ladder).toEqual([
      { remedy: 'restart_process', times: 3 },
      { remedy: 'page', times: 1 },
      { remedy: 'quarantine', times: 2 },
    ]);
    expect(ladder('hung: { action: page, then: [] }', 'hung')).toBe('page');
  });

  it('is what `ladder` says', () => {
    expect(ladder('hung: { ladder: [abort_request, { action: restart, times: 4 }, alert] }', 'hung')).toBe(
      'abort_request, restart_process x 4, page',
    );
  });

  it('stays as it is where only a delay is given', () => {
    const { policy } = strategies('hung: { delay: 2s }');
    expect(policy.strategies.hung).toEqual({
      ladder: DEFAULT_RECOVERY_POLICY.strategies.hung.ladder,
      delayMs: 2_000,
    });
  });

  it('knows classes with hyphens and with underscores', () => {
    expect(ladder('gpu_out_of_memory: { action: quarantine }', 'gpu-out-of-memory')).toBe('quarantine');
    expect(ladder('gpu-out-of-memory: { action: quarantine }', 'gpu-out-of-memory')).toBe('quarantine');
  });

  it('is that of the class before that of its group, of the group before that of the nature, in any order', () => {
    const entries = [
      'gpu-out-of-memory: { ladder: [page] }',
      'oom: { ladder: [quarantine] }',
      'permanent: { ladder: [safe_shutdown] }',
    ];
    for (const text of [entries.join(', '), entries.toReversed().join(', ')]) {
      expect(ladder(text, 'gpu-out-of-memory')).toBe('page');
      expect(ladder(text, 'host-out-of-memory')).toBe('quarantine');
      expect(ladder(text, 'child-dead')).toBe('safe_shutdown');
      expect(ladder(text, 'unknown')).toBe(standard('unknown'));
    }
  });

  it('is that of the group with fewer classes, where a class is in two', () => {
    const text = 'gpu_communication: { ladder: [page] }, nvlink: { ladder: [fallback_path] }';
    expect(ladder(text, 'network-transient')).toBe('fallback_path');
    expect(ladder(text, 'collective-timeout')).toBe('page');
  });

  it('does not count for classes of a nature where it makes no sense, and says so', () => {
    const { policy, notes, origins } = strategies('transient: { action: restart_process, times: 7 }');
    expect(policy.strategies['network-transient'].ladder[0]).toEqual({ remedy: 'restart_process', times: 7 });
    expect(policy.strategies.busy).toEqual(DEFAULT_RECOVERY_POLICY.strategies.busy);
    expect(origins.busy).toBeNull();
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^recovery\.strategies\.transient does not count for .*\bbusy\b/);
  });

  it('can be written out for every class as the default is, and is the same then', () => {
    for (const name of [...FAULT_CLASSES, 'unknown'] as const) {
      const steps = DEFAULT_RECOVERY_POLICY.strategies[name].ladder.map(
        ({ remedy, times }) => `{ action: ${remedy}, times: ${times} }`,
      );
      const { policy } = strategies(`${name}: { ladder: [${steps.join(', ')}] }`);
      expect(policy.strategies[name], name).toEqual(DEFAULT_RECOVERY_POLICY.strategies[name]);
    }
  });

  it('never ends an engine that works, whatever is written (every remedy for every class)', () => {
    for (const remedy of REMEDY_NAMES) {
      const text = `recovery: { strategies: { busy: { ladder: [${remedy}] } } }`;
      const mild = ['observe', 'abort_request', 'shed_load', 'clear_caches', 'clear_queue_and_reset', 'page'];
      expect(complaints(text).length === 0, remedy).toBe(mild.includes(remedy));
    }
  });
});

describe('messages of the recovery policy', () => {
  const at = (text: string) => `recovery: { strategies: { ${text} } }`;
  it.each([
    [
      'a key that is near another',
      'recovry: {}',
      ['r.yaml:1:1: recovry: this key is not known; did you mean "recovery"?'],
    ],
    [
      'a class that is not known',
      at('deadlok: { action: restart_process }'),
      [
        /^r\.yaml:1:27: recovery\.strategies\.deadlok: .*did you mean "deadlock"\? known keys: engine-core-dead, .*, oom, .*, partition$/,
      ],
    ],
    [
      'an action that is not known',
      at('oom: { action: restart_proces }'),
      [
        /^r\.yaml:1:42: recovery\.strategies\.oom\.action: found "restart_proces"; did you mean "restart_process"\? would be right: one of observe, .*, safe_shutdown \(or another word for one of them\)$/,
      ],
    ],
    [
      'an action inside a step',
      at('oom: { action: restart, then: [{ action: pge, times: 0 }] }'),
      [
        /then\[0\]\.action: found "pge"; did you mean "page"\? would be right: one of observe, /,
        'r.yaml:1:80: recovery.strategies.oom.then[0].times: found 0; would be right: an integer from 1 to 1000',
      ],
    ],
    [
      'a metric that is not known',
      'monitoring: { metrics: [cpu_lod] }',
      [
        /^r\.yaml:1:25: monitoring\.metrics\[0\]: found "cpu_lod"; did you mean "cpu_load"\? would be right: one of gpu_memory, /,
      ],
    ],
    [
      'a time without sense',
      'monitoring: { interval: soon }',
      [
        'r.yaml:1:25: monitoring.interval: found "soon"; would be right: a time from 100ms to 10m, such as 500ms, 2s, 1m or 1h; a number alone is of milliseconds',
      ],
    ],
    [
      'seconds that are taken for milliseconds',
      'monitoring: { interval: 2 }',
      [/^r\.yaml:1:25: monitoring\.interval: found 2; .* a number alone is of milliseconds$/],
    ],
    [
      'a list where a time should be',
      'monitoring: { interval: [] }',
      ['r.yaml:1:25: monitoring.interval: found a list of 0; would be right: a time such as 500ms, 2s or 1m'],
    ],
    [
      'an entry that says nothing',
      at('oom: {}'),
      [
        'r.yaml:1:32: recovery.strategies.oom: found nothing in it; would be right: { action: restart_process }',
      ],
    ],
    [
      'two ways at once',
      at('oom: { action: restart, ladder: [page] }'),
      ['r.yaml:1:59: recovery.strategies.oom.ladder: found together with `action`; give one of them'],
    ],
    [
      'what follows nothing',
      at('oom: { then: [page] }'),
      ['r.yaml:1:40: recovery.strategies.oom.then: found without `action`; add the remedy that comes first'],
    ],
    [
      'one class in two spellings',
      at('gpu-lost: { action: page }, gpu_lost: { action: page }'),
      [
        'r.yaml:1:55: recovery.strategies.gpu_lost: found together with "gpu-lost", which is the same class; leave one of them out',
      ],
    ],
    [
      'a restart of a busy engine',
      at('busy: { action: restart_process }'),
      [
        /^r\.yaml:1:43: recovery\.strategies\.busy\.action: found restart_process, which makes no sense for busy: an engine is never ended for it/,
      ],
    ],
    [
      'a loop of restarts',
      at('bad-configuration: { action: quarantine, then: [restart] }'),
      [
        /bad-configuration\.then\[0\]: found restart_process, which makes no sense for bad-configuration: a restart does not help, it would be a loop/,
      ],
    ],
    [
      'a restart where something else must come first',
      at('gpu-lost: { action: restart_process }'),
      [/gpu-lost\.action: found restart_process, .*: a restart alone does not help/],
    ],
    [
      'what would be done to a process that is gone',
      at('killed-from-outside: { action: abort_request }'),
      [/killed-from-outside\.action: found abort_request, .*: there is no living engine left/],
    ],
    [
      'a group of which no class fits',
      at('hardware: { action: restart_process, times: 1 }, oom: { ladder: [] }'),
      [/oom\.ladder: found a list of 0; would be right: a list with at least 1 entry/],
    ],
  ] as [
    string,
    string,
    (string | RegExp)[],
  ][])('name place, value and remedy for %s', (_name, text, expected) => {
    const found = complaints(text);
    expect(found).toHaveLength(expected.length);
    for (const [index, one] of expected.entries())
      if (typeof one === 'string') expect(found[index]).toBe(one);
      else expect(found[index]).toMatch(one);
  });

  it('never print what came from the environment', () => {
    const text = 'recovery: { strategies: { oom: { action: "$' + '{SURE}" } } }';
    expect(complaints(text)[0]).toContain('found [secret];');
  });

  it('accept a restart after another remedy where it helps nobody alone', () => {
    expect(complaints(at('gpu-lost: { action: rebuild_elsewhere, then: [restart_process] }'))).toEqual([]);
    expect(complaints(at('orphan-holds-gpu: { action: restart_process }'))).toEqual([]);
  });
});

describe('where the recovery policy stands', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'recovery-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const load = (variables: Record<string, string> = {}) =>
    loadConfig(undefined, { variables, homeDir: '/home/x', workDir: directory });
  const interval = () => resolveConfig(load()).recovery.monitoring.intervalMs;
  const POLICY = 'monitoring: { interval: 7s }\n';

  it('is nowhere: the defaults hold', () => {
    expect(resolveConfig(load()).recovery).toEqual(DEFAULT_RECOVERY_POLICY);
    expect(load().recovery).toEqual({ file: null, written: undefined });
  });

  it('is found in the working directory with zero config', () => {
    write('auto-recovery.yaml', POLICY);
    expect(interval()).toBe(7_000);
    expect(load().recovery?.file).toBe(join(directory, 'auto-recovery.yaml'));
  });

  it('is found beside the configuration, wherever that lies', () => {
    mkdirSync(join(directory, 'etc'));
    write('etc/mine.yaml', 'gateway: { port: 0 }');
    write('etc/auto-recovery.yml', POLICY);
    expect(resolveConfig(load({ AUTOGLM_CONFIG: 'etc/mine.yaml' })).recovery.monitoring.intervalMs).toBe(
      7_000,
    );
  });

  it('is taken from the configuration itself', () => {
    write('autoglm.yaml', `auto_recovery:\n  ${POLICY}`);
    expect(interval()).toBe(7_000);
    expect(load().recovery?.file).toBe(join(directory, 'autoglm.yaml'));
  });

  it('is taken from the file that the configuration names, relative to it', () => {
    write('autoglm.yaml', 'auto_recovery: policies/ours.yaml');
    mkdirSync(join(directory, 'policies'));
    write('policies/ours.yaml', POLICY);
    expect(interval()).toBe(7_000);
    write('autoglm.yaml', 'auto_recovery: auto-recovery.yaml');
    write('auto-recovery.yaml', POLICY);
    expect(interval()).toBe(7_000);
  });

  it.each([
    [
      'auto_recovery: {}',
      /autoglm\.yaml:1:1: auto_recovery: found a policy here, and there is .*auto-recovery\.yaml, too/,
    ],
    [
      'auto_recovery: other.yaml',
      /auto_recovery: found "other\.yaml" here, and there is .*auto-recovery\.yaml, too/,
    ],
  ])('is refused in two places: %s', (text, message) => {
    write('autoglm.yaml', text);
    write('auto-recovery.yaml', POLICY);
    write('other.yaml', POLICY);
    expect(load).toThrow(message);
  });

  it('is refused in two files', () => {
    write('auto-recovery.yaml', POLICY);
    write('auto-recovery.yml', POLICY);
    expect(load).toThrow(
      /auto-recovery\.yml: found beside .*auto-recovery\.yaml; a recovery policy stands in one file/,
    );
  });

  it('is missed where the configuration names one that does not exist', () => {
    write('autoglm.yaml', 'auto_recovery: none.yaml');
    expect(load).toThrow(/auto_recovery: found "none\.yaml", and there is no file .*none\.yaml/);
  });

  it('has its faults told with the place in the file that they are in', () => {
    write('autoglm.yaml', 'auto_recovery:\n  recovery: { strategies: { busy: { action: restart } } }');
    expect(load).toThrow(
      /autoglm\.yaml:2:45: auto_recovery\.recovery\.strategies\.busy\.action: found restart_process/,
    );
    write('autoglm.yaml', 'gateway: { port: 0 }');
    write('auto-recovery.yaml', 'recovery: { flor: 1 }');
    expect(load).toThrow(
      /auto-recovery\.yaml:1:13: recovery\.flor: this key is not known; did you mean "floor"\?/,
    );
  });

  it('is no configuration, and somebody who takes it for one is told where it belongs', () => {
    write('autoglm.yaml', POLICY);
    expect(load).toThrow(
      /this is a recovery policy and no configuration; would be right: the same below `auto_recovery:`/,
    );
  });

  it('is known alone by its name or by its keys', () => {
    const alone = (name: string) =>
      readLoneRecovery(name, { variables: {}, homeDir: '/', workDir: directory });
    write('auto-recovery.yaml', '');
    write('x.yaml', POLICY);
    write('autoglm.yaml', 'gateway: { port: 0 }');
    expect(alone('auto-recovery.yaml')?.written).toEqual({});
    expect(alone('x.yaml')?.file).toBe(join(directory, 'x.yaml'));
    expect(alone('autoglm.yaml')).toBeNull();
    expect(alone('nothing.yaml')).toBeNull();
  });
});
