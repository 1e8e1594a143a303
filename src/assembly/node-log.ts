/**
 * The node process's two voices: JSON lines for machines in `<state_dir>/logs/node.log`, and short lines for the person in
 * whose terminal it was started. That terminal may go away at any time, and must not take the process with it.
 */
import pino from 'pino';
import { openLineLog } from '../drivers/telemetry/line-log.ts';

export type LogLevel = 'info' | 'warn' | 'error';

export interface NodeLog {
  write(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
  /** To the terminal. */
  say(text: string): void;
  /** Nothing can be written afterwards. */
  close(): void;
}

export function openNodeLog(file: string): NodeLog {
  const lines = openLineLog(file, { batched: false });
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const logger = pino(
    {
      base: { 'process.pid': process.pid },
      timestamp: () => `,"@timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ 'log.level': label }) },
      messageKey: 'message',
    },
    lines,
  );
  return {
    write: (level, message, detail) => logger[level](detail ?? {}, message),
    say: (text) => void process.stdout.write(`${text}\n`),
    close: () => lines.close(),
  };
}
