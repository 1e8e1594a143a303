/**
 * Installs Portkey's gateway for `npm run bench` to measure, into a folder of its own that git ignores. Its newest server
 * library answers every stream with status 500 ("immutable" headers), so the last one that does not is pinned.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PORTKEY_FOLDER } from './targets/portkey.ts';

mkdirSync(PORTKEY_FOLDER, { recursive: true });
writeFileSync(
  join(PORTKEY_FOLDER, 'package.json'),
  JSON.stringify({
    private: true,
    dependencies: { '@portkey-ai/gateway': '1.15.2' },
    overrides: { '@hono/node-server': '1.13.7' },
  }),
);
const { status } = spawnSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], {
  cwd: PORTKEY_FOLDER,
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
