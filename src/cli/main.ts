/**
 * Entry of the command line; `bin/autoglm.mjs` calls it. Every failure ends here as one message and a documented exit code:
 * no stack traces for what a person can mend.
 */
import { CommanderError } from 'commander';
import { readEnvironment } from '../assembly/config/environment.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES, exitCodeFor } from '../contract/exit-codes.ts';
import { createProgram } from './program.ts';
import { createTerminal, type Terminal } from './terminal.ts';

export async function main(argv: readonly string[]): Promise<void> {
  // A reader such as `head` may close the pipe early; that is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_CODES.ok.code);
  });
  const environment = readEnvironment();
  const terminal = createTerminal(environment);
  const exit = (code: number) => {
    process.exitCode = code;
  };
  const program = createProgram({ environment, terminal, exit });
  for (const command of program.commands) for (const nested of command.commands) nested.exitOverride();
  for (const command of [program, ...program.commands]) command.exitOverride();
  try {
    if (argv.length === 0) program.help({ error: true });
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    exit(report(error, terminal, argv.includes('--json')));
  }
}

/** Prints the failure and returns the exit code. */
function report(error: unknown, terminal: Terminal, json: boolean): number {
  // Commander has printed its own message already.
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? EXIT_CODES.ok.code : EXIT_CODES.usage.code;
  if (error instanceof PlatformError) {
    if (json)
      terminal.print(JSON.stringify({ error: { code: error.code, message: error.message } }, null, 2));
    else terminal.complain(`${terminal.colors.red('error:')} ${error.message}`);
    return exitCodeFor(error.code);
  }
  terminal.complain(`${terminal.colors.red('bug:')} ${error instanceof Error ? error.stack : String(error)}`);
  return EXIT_CODES.failed.code;
}
