/** Prints how an action of the admin API ended; an action that was refused ends the command with code 1. */
import type { ActionResult } from '../contract/admin-api.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';

export function reportAction(
  result: ActionResult,
  { json }: CommonOptions,
  { terminal, exit }: CommandContext,
): void {
  if (json) terminal.print(JSON.stringify(result, null, 2));
  else if (result.ok) terminal.tell(`${terminal.colors.green('ok:')} ${result.message}`);
  else terminal.complain(`${terminal.colors.red('failed:')} ${result.message}`);
  if (!result.ok) exit(EXIT_CODES.failed.code);
}
