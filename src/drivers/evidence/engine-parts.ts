/** What the engine itself says: the end of its log and the text of its metrics. */
import { open } from 'node:fs/promises';
import { request } from 'undici';
import type { Redactor } from '../../base/redaction.ts';
import type { EvidenceSubject } from '../../contract/ports/evidence.ts';
import { NotThere, type PartText } from './part-text.ts';
import { withoutPrompts } from './prompts.ts';

interface Parts {
  text: PartText;
  redactor: Redactor;
  signal: AbortSignal;
}

const LOG_BYTES_MAX = 256 * 1024;
/** An engine in trouble mostly does not answer: it is not worth the whole deadline. */
const METRICS_MS_MAX = 500;
const METRICS_CHARACTERS_MAX = 2 * 1024 * 1024;

/** The last whole lines, 256 KiB at most. */
export async function takeLog(
  { logFile }: EvidenceSubject,
  { text, redactor }: Parts,
  { prompts }: { prompts: boolean },
): Promise<void> {
  if (logFile === null) throw new NotThere('its log is not ours: it runs elsewhere');
  const file = await open(logFile, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new NotThere(`its log cannot be read: ${error.message}`);
  });
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - LOG_BYTES_MAX);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const tail = buffer.toString('utf8', 0, bytesRead);
    const whole = start === 0 ? tail : tail.slice(tail.indexOf('\n') + 1);
    if (whole === '') throw new NotThere('its log is empty');
    const shown = redactor.text(whole);
    text.add(prompts ? shown : shown.split('\n').map(withoutPrompts).join('\n'));
  } finally {
    await file.close();
  }
}

export async function takeMetrics(
  { metricsUrl, engineKey }: EvidenceSubject,
  { text, redactor, signal }: Parts,
): Promise<void> {
  if (metricsUrl === null) throw new NotThere('it has ended, or its address is not known');
  const limit = AbortSignal.any([signal, AbortSignal.timeout(METRICS_MS_MAX)]);
  let body = '';
  try {
    const response = await request(metricsUrl, {
      headers: engineKey === undefined ? {} : { authorization: `Bearer ${engineKey.reveal()}` },
      signal: limit,
    });
    if (response.statusCode !== 200) {
      await response.body.dump();
      throw new NotThere(`${metricsUrl} answered with HTTP ${response.statusCode}`);
    }
    for await (const chunk of response.body.setEncoding('utf8')) {
      body += String(chunk);
      if (body.length > METRICS_CHARACTERS_MAX) break;
    }
  } catch (error) {
    if (error instanceof NotThere) throw error;
    const why = limit.aborted ? `did not answer within ${METRICS_MS_MAX} ms` : String(error);
    throw new NotThere(`${metricsUrl}: ${why}`);
  } finally {
    if (body !== '') text.add(redactor.text(body));
  }
}
