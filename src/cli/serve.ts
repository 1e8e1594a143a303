/** `autoglm serve`: runs the launcher in this process until everything has stopped. */
import { runLauncher } from '../assembly/launcher.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';

export async function serve(
  { config }: CommonOptions,
  { environment, terminal, exit }: CommandContext,
): Promise<void> {
  const code = await runLauncher({
    configOption: config,
    environment,
    print: terminal.print,
    complain: terminal.complain,
  });
  exit(code);
}
