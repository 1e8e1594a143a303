/** How our processes end, for scripts and for the launcher. `docs/reference/cli.md` is generated from this table. */
import type { ErrorCode } from './errors.ts';

export const EXIT_CODES = {
  ok: { code: 0, meaning: 'Done.' },
  failed: { code: 1, meaning: 'The command failed; the message says why.' },
  usage: { code: 2, meaning: 'The command line is wrong: unknown command, option or argument.' },
  notRunning: { code: 3, meaning: 'Nothing is running at the admin address or the gateway address.' },
  configInvalid: { code: 4, meaning: 'The configuration is not valid.' },
  portInUse: { code: 5, meaning: 'Another process listens on the port.' },
  alreadyRunning: { code: 6, meaning: 'Another `autoglm serve` holds the state directory.' },
  /** Sysexits calls 75 a temporary failure. */
  restartWanted: { code: 75, meaning: 'Only from the node process to its launcher: start me again at once.' },
  interrupted: { code: 130, meaning: 'Stopped at once by a second signal, or by Ctrl-C.' },
} as const;

const BY_ERROR: Partial<Record<ErrorCode, number>> = {
  invalid_request: EXIT_CODES.usage.code,
  not_running: EXIT_CODES.notRunning.code,
  config_invalid: EXIT_CODES.configInvalid.code,
  port_in_use: EXIT_CODES.portInUse.code,
  already_running: EXIT_CODES.alreadyRunning.code,
};

export function exitCodeFor(error: ErrorCode): number {
  return BY_ERROR[error] ?? EXIT_CODES.failed.code;
}
