/** Command lines of engines: the user's own with its placeholders filled in, or an engine's usual one. Never a shell. */
import { PlatformError } from '../../contract/errors.ts';
import type { LaunchContext, LaunchPlan } from '../../contract/ports/engine-driver.ts';

/** The `command:` of a model. */
export function ownCommand(context: LaunchContext, words: readonly string[]): LaunchPlan {
  const values: Record<string, string> = {
    host: context.host,
    port: String(context.port),
    model: context.model,
    model_name: context.modelName,
  };
  const filled = words.map((word) =>
    word.replaceAll(/\{([a-z_]+)\}/g, (whole, name: string) => values[name] ?? whole),
  );
  return commandLine(context, filled);
}

export function commandLine(context: LaunchContext, words: readonly string[]): LaunchPlan {
  const [command, ...args] = words;
  if (command === undefined || command === '')
    throw new PlatformError('config_invalid', `command of ${context.modelName}: found no program to start`);
  return { command, args, env: context.env, portFrom: 'assigned' };
}

/** `--name value`, or nothing when there is no value. */
export function option(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [name, String(value)];
}
