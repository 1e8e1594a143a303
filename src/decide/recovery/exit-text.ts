/** How a process ended, as people read it. */
import type { ProcessExit } from '../../contract/ports/process-host.ts';

/** Signals that show up as exit code 128 + n when a shell or a runtime passes them on. */
const SIGNAL_NAMES: Record<number, string> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  15: 'SIGTERM',
};

export function exitText(exit: ProcessExit): string {
  if (exit.kind === 'signalled') return `ended by ${exit.signal}`;
  if (exit.kind === 'unknown') return 'ended with unknown status';
  const signal = SIGNAL_NAMES[exit.code - 128];
  return `exit code ${exit.code}${signal === undefined ? '' : ` (${signal})`}`;
}
