/** How the process ended. A bare status 137 proves only that somebody sent SIGKILL; who it was, other witnesses must say. */
import type { Evidence } from '../../contract/diagnosis.ts';
import { lineEvidence } from './examine-log.ts';
import type { Inquiry } from './inquiry.ts';
import type { SignalWindow } from './signals.ts';

type Ending = 'success' | 'SIGKILL' | 'SIGTERM' | 'SIGBUS' | 'crash' | 'failure' | 'unknown';

const CRASHES = ['SIGSEGV', 'SIGABRT', 'SIGILL', 'SIGFPE', 'SIGTRAP'];
/** Shells and containers say 128 + the number of the signal. */
const BY_CODE: Record<number, Ending> = {
  0: 'success',
  137: 'SIGKILL',
  143: 'SIGTERM',
  135: 'SIGBUS',
  134: 'crash',
  139: 'crash',
  132: 'crash',
  136: 'crash',
};
const SHM_SMALL_BYTES = 256 * 2 ** 20;

export function examineExit(window: SignalWindow, inquiry: Inquiry): void {
  examineOomKills(window, inquiry);
  if (window.exit === undefined) return examineBareKill(window, inquiry);
  if (window.exit.asked) return;
  const ending = endingOf(window);
  const seen: Evidence = { signal: 'exit', text: describeExit(window) };
  switch (ending) {
    case 'SIGKILL':
      return examineKill(window, seen, inquiry);
    case 'SIGTERM':
      return inquiry.suspect('killed-from-outside', 'end', { confidence: 0.8, evidence: [seen] });
    case 'crash':
      return inquiry.suspect('engine-core-dead', 'end', { confidence: 0.55, evidence: [seen] });
    case 'SIGBUS': {
      const small = window.shmFreeBytes !== undefined && window.shmFreeBytes < SHM_SMALL_BYTES;
      return inquiry.suspect('shared-memory-too-small', 'end', {
        confidence: small ? 0.8 : 0.5,
        evidence: [seen],
      });
    }
    default:
      inquiry.loose.push(seen);
  }
}

function examineOomKills({ oomKills, rss, memoryLimitBytes }: SignalWindow, inquiry: Inquiry): void {
  if (oomKills === undefined || oomKills === null || !(oomKills > 0)) return;
  const evidence: Evidence[] = [
    { signal: 'memory', text: `the cgroup counts ${oomKills} more oom_kill since the start` },
  ];
  const last = rss?.at(-1)?.value;
  if (last !== undefined && memoryLimitBytes !== undefined) {
    const share = Math.round((last / memoryLimitBytes) * 100);
    evidence.push({ signal: 'memory', text: `resident memory was at ${share} % of its limit` });
  }
  inquiry.suspect('host-out-of-memory', 'witness', { confidence: 0.95, evidence });
}

function examineKill({ oomKills }: SignalWindow, seen: Evidence, inquiry: Inquiry): void {
  if (oomKills !== undefined && oomKills !== null && oomKills > 0) return;
  const read = oomKills === 0;
  const why = read
    ? 'the oom_kill counter of the cgroup did not grow, and status 137 alone is no proof'
    : 'neither a counter nor a line of the kernel says so, and status 137 alone is no proof';
  inquiry.ruleOut('host-out-of-memory', why);
  inquiry.suspect('killed-from-outside', 'end', { confidence: read ? 0.75 : 0.55, evidence: [seen] });
}

/** A shell's `Killed` where nothing else is known. */
function examineBareKill({ log }: SignalWindow, inquiry: Inquiry): void {
  const killed = log?.findings.find(({ class: fault, weak }) => fault === 'killed-from-outside' && weak);
  if (killed === undefined) return;
  inquiry.ruleOut('host-out-of-memory', 'no line of the kernel says so; `Killed` alone only means SIGKILL');
  inquiry.suspect('killed-from-outside', 'end', { confidence: 0.55, evidence: [lineEvidence(killed)] });
}

function endingOf({ exit }: SignalWindow): Ending {
  const how = exit?.exit ?? { kind: 'unknown' };
  if (how.kind === 'exited') return BY_CODE[how.code] ?? 'failure';
  if (how.kind === 'unknown') return 'unknown';
  if (CRASHES.includes(how.signal)) return 'crash';
  if (how.signal === 'SIGBUS' || how.signal === 'SIGKILL') return how.signal;
  return 'SIGTERM';
}

function describeExit({ exit }: SignalWindow): string {
  const how = exit?.exit ?? { kind: 'unknown' };
  if (how.kind === 'exited') return `it ended with status ${how.code}, and nobody had asked it to`;
  return how.kind === 'signalled'
    ? `it was ended by ${how.signal}, and not by us`
    : 'it ended, and how is not known';
}
