/**
 * The fingerprint of a request: a keyed hash of what an engine would have to do, the same for every client, key and dialect.
 * Whoever has the list of fingerprints, but not the key, can not tell which text is meant, nor try texts out.
 */
import { createHmac } from 'node:crypto';
import { canonicalJson } from '../../../decide/scheduling/cache/canonical-json.ts';
import type { Envelope } from '../../../wire/openai/envelope.ts';

/** Fields that name the caller, or how the answer is handed over: no engine dies of them, and clients change them. */
const WITHOUT_WEIGHT: ReadonlySet<string> = new Set([
  'model',
  'stream',
  'stream_options',
  'seed',
  'user',
  'metadata',
  'store',
  'service_tier',
  'priority',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
]);

const HEX_DIGITS = 32;

/** @param model as the pool or adapter is called, so that aliases count as one. */
export function fingerprintOf(
  key: string,
  { endpoint, fields, bytes, ticket }: Envelope,
  model: string,
): string {
  const weighty = Object.entries(fields).filter(
    ([name, value]) => value !== null && value !== undefined && !WITHOUT_WEIGHT.has(name),
  );
  const hash = createHmac('sha256', key).update(`${endpoint}\n${model}\n`);
  // What can not be told apart as JSON is known by its bytes; and so is a call for several requests, whose fields are those of
  // the first alone: nobody is to be blamed for what another one did.
  const text = ticket === undefined ? canonicalJson(Object.fromEntries(weighty)) : null;
  return hash
    .update(text ?? bytes)
    .digest('hex')
    .slice(0, HEX_DIGITS);
}
