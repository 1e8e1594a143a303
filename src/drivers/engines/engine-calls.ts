/** Calls to an engine beyond probes: one POST, and its answer in words for `status` and the log. Never an exception. */
import type { EngineTarget, ProbeResult } from '../../contract/ports/engine-driver.ts';
import { exchange, parseJson, statusText } from './probe-http.ts';

export interface EngineCall {
  path: string;
  /** JSON; `{}` where the engine wants none. */
  body?: unknown;
  /** Said with a 404: how the engine is started so that it has this call. */
  absentHint?: string;
}

/** `ok` for a 2xx answer that does not say `"success": false`. */
export async function call(
  target: EngineTarget,
  { path, body = {}, absentHint }: EngineCall,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const response = await exchange(target, { path, body }, signal);
  if ('failure' in response) return { ok: false, detail: `${path}: ${response.failure}` };
  if (response.status === 404 && absentHint !== undefined)
    return { ok: false, detail: `${path}: HTTP 404; ${absentHint}` };
  const answer = parseJson(response.body);
  const refused = (answer as { success?: unknown } | null | undefined)?.success === false;
  const ok = response.status >= 200 && response.status < 300 && !refused;
  if (ok) return { ok, detail: `${path}: HTTP ${response.status}` };
  return { ok, detail: `${path}: ${refused ? 'the engine could not; requests run' : statusText(response)}` };
}
