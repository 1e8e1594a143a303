/**
 * Portkey's gateway, a peer that is written in TypeScript too. No dependency of the project: measured only where
 * `npx node bench/install-portkey.ts` has put it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePort, start, TARGET_CPU, untilAnswers } from './processes.ts';
import type { TargetKind } from './target.ts';

export const PORTKEY_FOLDER = resolve(import.meta.dirname, '../.portkey');
const PACKAGE = join(PORTKEY_FOLDER, 'node_modules/@portkey-ai/gateway');

export const PORTKEY_MISSING =
  'Portkey is not installed and left out (npx node bench/install-portkey.ts installs it)';

/** Null where it is not installed. */
export function portkeyVersion(): string | null {
  const file = join(PACKAGE, 'package.json');
  if (!existsSync(file)) return null;
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** It sends everything to the first engine, as one custom host is what its headers can name. */
export const portkey: TargetKind = {
  name: 'portkey',
  start: async ({ enginePorts }) => {
    const port = await freePort();
    const child = start(
      process.execPath,
      [join(PACKAGE, 'build/start-server.js'), '--headless', `--port=${port}`],
      // It refuses loopback hosts that it was not told to trust.
      {
        cpu: TARGET_CPU,
        env: { ...process.env, NODE_ENV: 'production', TRUSTED_CUSTOM_HOSTS: '127.0.0.1' },
        stderr: 'ignore',
      },
    );
    // What it says is read, or it would stand still when the pipe is full.
    child.stdout?.resume();
    const origin = `http://127.0.0.1:${port}`;
    await untilAnswers(child, origin, 'Portkey');
    const headers = {
      authorization: 'Bearer sk-bench',
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `http://127.0.0.1:${enginePorts[0]}/v1`,
    };
    return { name: 'portkey', origin, headers, child };
  },
};
