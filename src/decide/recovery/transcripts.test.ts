/** The stories in `transcripts/`: what is commanded, and the log that must follow. AUTOGLM_WRITE=1 writes the logs anew. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';
import { expect, it } from 'vitest';
import { play } from '../../../tests/support/recovery-transcript.ts';

const directory = join(import.meta.dirname, 'transcripts');

it.each(readdirSync(directory))('%s goes as written', (name) => {
  const file = join(directory, name);
  const written = readFileSync(file, 'utf8');
  const played = play(written);
  if (env.AUTOGLM_WRITE === '1') writeFileSync(file, played);
  else expect(played).toBe(written);
});
