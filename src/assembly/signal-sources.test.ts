import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { MONITORED_METRICS } from '../contract/recovery-policy.ts';
import { PACKAGE_ROOT } from './config/release.ts';
import { BUILT_IN_SOURCES } from './config/signal-plugins.ts';
import { createSignalSources } from './signal-sources.ts';

function sources() {
  return createSignalSources({
    config: {
      configPath: null,
      signals: {
        kernelLog: join(PACKAGE_ROOT, 'no-such-log'),
        nvidiaSmi: 'nvidia-smi',
        dockerSocket: '/nowhere/docker.sock',
        plugins: [join(PACKAGE_ROOT, 'examples/signal-source/amd-gpus.mjs')],
      },
    },
    clock: systemClock,
    log: () => {},
  });
}

it('makes every source that is built in, by the name that no plug-in may take, and the plug-ins last', () => {
  const made = sources();
  expect(made.map(({ name }) => name)).toEqual([...BUILT_IN_SOURCES, 'amd-gpus']);
  for (const { name, metrics } of made) {
    expect(metrics.length, name).toBeGreaterThan(0);
    expect(metrics.filter((metric) => !MONITORED_METRICS.includes(metric))).toEqual([]);
  }
  for (const source of made) source.close();
});

it('is what the documentation says: each source has its line and its section', () => {
  const page = readFileSync(join(PACKAGE_ROOT, 'docs/signals.md'), 'utf8');
  for (const name of [...BUILT_IN_SOURCES, 'plug-ins']) {
    expect(page).toContain(`| [${name}](#${name}) |`);
    expect(page).toMatch(new RegExp(`^## ${name}$`, 'm'));
  }
  const readme = readFileSync(join(PACKAGE_ROOT, 'examples/signal-source/README.md'), 'utf8');
  for (const metric of MONITORED_METRICS) expect(readme).toContain(`\`${metric}\``);
});
