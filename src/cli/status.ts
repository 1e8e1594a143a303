/** `autoglm status [--watch] [--json]`: one look at the system, or one look after the other. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PlatformError } from '../contract/errors.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from './command-context.ts';
import { clipRows } from './fit.ts';
import { renderStatus } from './status-table.ts';

export interface StatusOptions extends AdminOptions {
  /** Seconds between looks. */
  watch?: number | true;
}

/** Where `--watch` names no time. */
const WATCH_S = 1;
/** One key press arrives twice, from the terminal and from a process that passes it on, such as an older Node or npm. */
const SAME_KEYPRESS_MS = 250;
/** Where a terminal does not say how high it is. */
const ROWS = 24;
const HOME_AND_CLEAR = '\u001b[H\u001b[J';

export async function status(options: StatusOptions, context: CommandContext): Promise<void> {
  if (options.watch === undefined) {
    context.terminal.print(await look(options, context));
    return;
  }
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.on('SIGINT', onSignal);
  await watch(options, context, stop.signal);
  // The signal that comes second must find this process with its listener, or gone: in between it would end it with code 130.
  await sleep(SAME_KEYPRESS_MS);
}

/** Goes on while nothing answers: a node process that is being replaced comes back. */
async function watch(options: StatusOptions, context: CommandContext, signal: AbortSignal): Promise<void> {
  const { terminal } = context;
  while (!signal.aborted) {
    const text = await look(options, context, signal).catch((error: unknown) => {
      if (!(error instanceof PlatformError)) throw error;
      return options.json
        ? JSON.stringify({ error: { code: error.code, message: error.message } })
        : terminal.colors.yellow(error.message);
    });
    if (signal.aborted) return;
    const onScreen = terminal.interactive && !options.json;
    // The newline at the end takes a row, too.
    terminal.print(onScreen ? `${HOME_AND_CLEAR}${clipRows(text, (terminal.rows ?? ROWS) - 1)}` : text);
    await sleep((typeof options.watch === 'number' ? options.watch : WATCH_S) * 1000, undefined, {
      signal,
    }).catch(() => undefined);
  }
}

/** Finds the system anew each time: a node process that came back may listen elsewhere. */
async function look(options: StatusOptions, context: CommandContext, signal?: AbortSignal): Promise<string> {
  const { terminal } = context;
  const found = await connectAdmin(options, context).status(signal);
  // With --watch each look is one line, so that a program can read them as they come.
  if (options.json) return JSON.stringify(found, null, options.watch === undefined ? 2 : 0);
  return renderStatus(found, { colors: terminal.colors, nowMs: Date.now(), width: terminal.columns });
}
