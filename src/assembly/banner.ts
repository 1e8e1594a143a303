/** What `autoglm serve` prints for the person who started it. Pure, so that a test and the README can rely on the words. */
import type { Fact } from '../contract/facts.ts';
import { programName } from './config/release.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';

export interface Addresses {
  gateway: string;
  admin: string;
}

/** A question that the demo model knows. */
const EXAMPLE_QUESTION = 'What does HTTP 429 mean?';

export function banner(release: string, config: ResolvedConfig, { gateway, admin }: Addresses): string {
  const keyed = config.gateway.keys.length > 0;
  return [
    `autoglm ${release}`,
    '',
    `  OpenAI API    ${gateway}/v1   ${keyed ? 'with one of your keys' : 'no key needed on this machine'}`,
    `  status page   ${admin}/`,
    `  chat          ${programName(process.cwd())} chat`,
    '',
  ].join('\n');
}

/** What can be pasted now: `model` is one that has a ready replica. */
export function tryLines(config: ResolvedConfig, gateway: string, model: string): string {
  const keyed = config.gateway.keys.length > 0;
  const hint = keyed ? ' (AUTOGLM_KEY holds one of your keys)' : '';
  return `\n  try it, paste this${hint}:\n\n${curlLine(gateway, model, keyed)}\n`;
}

/** One line for any POSIX shell. The model's name is quoted for JSON and for the shell. */
export function curlLine(gateway: string, model: string, keyed: boolean): string {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: EXAMPLE_QUESTION }] });
  const key = keyed ? ' -H "authorization: Bearer $AUTOGLM_KEY"' : '';
  return `curl -s ${gateway}/v1/chat/completions${key} -H 'content-type: application/json' -d '${body.replaceAll("'", "'\\''")}'`;
}

/** A line for a change that a person wants to see; null for the others. */
export function progressLine(fact: Fact, sinceMs: number): string | null {
  if (fact.type === 'workerReplaced') return `  gateway worker ${fact.worker} replaced: ${fact.reason}`;
  if (fact.type !== 'replicaStateChanged') return null;
  switch (fact.to) {
    case 'ready':
      return `  replica ${fact.replica} ready after ${showSeconds(sinceMs)}`;
    case 'unready':
    case 'backing-off':
    case 'quarantined':
      return `  replica ${fact.replica} ${fact.to}: ${fact.reason}`;
    default:
      return null;
  }
}

/** When the wait for replicas is over and some are not ready. */
export function notReadyLine(ready: number, total: number): string {
  const replicas = total === 1 ? 'replica' : 'replicas';
  if (ready === 0)
    return `none of ${total} ${replicas} is ready; \`${programName(process.cwd())} status\` says why`;
  return `${ready} of ${total} ${replicas} are ready; \`${programName(process.cwd())} status\` says why the others are not`;
}

export function readyLine(replicas: number, totalMs: number): string {
  return `ready: ${replicas} ${replicas === 1 ? 'replica' : 'replicas'}, ${showSeconds(totalMs)} from start; Ctrl-C drains and stops`;
}

export function showSeconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}
