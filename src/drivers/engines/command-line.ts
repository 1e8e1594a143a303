/** Command lines of engines: the user's own with its placeholders filled in, or an engine's usual one. Never a shell. */
import { PlatformError } from '../../contract/errors.ts';
import type { LaunchContext, LaunchPlan } from '../../contract/ports/engine-driver.ts';

/** The `command:` of a model. Names in braces that are none of ours stay as they are. */
export function ownCommand(context: LaunchContext, words: readonly string[]): LaunchPlan {
  const values: Record<string, string | number | undefined> = {
    host: context.host,
    port: context.port,
    model: context.model,
    model_name: context.modelName,
    max_batch_size: context.maxBatchSize,
    max_seq_length: context.maxSeqLength,
    quantize: context.quantize,
    tensor_parallel_size: context.tensorParallelSize,
  };
  const fill = (whole: string, name: string): string => {
    if (!Object.hasOwn(values, name)) return whole;
    const value = values[name];
    if (value !== undefined) return String(value);
    const text = `command of ${context.modelName}: found ${whole} in it, but \`${name}\` is not set; set it, or leave the placeholder out`;
    throw new PlatformError('config_invalid', text);
  };
  const filled = words.map((word) => word.replaceAll(/\{([a-z_]+)\}/g, fill));
  return commandLine(context, [...filled, ...(context.args ?? [])]);
}

/** `env`: what the engine is told by its environment; the user's own goes before it. */
export function commandLine(
  context: LaunchContext,
  words: readonly string[],
  env: Record<string, string> = {},
): LaunchPlan {
  const [command, ...args] = words;
  if (command === undefined || command === '')
    throw new PlatformError('config_invalid', `command of ${context.modelName}: found no program to start`);
  return { command, args, env: { ...env, ...context.env }, portFrom: 'assigned' };
}

/** `--name value`, or nothing when there is no value. */
export function option(name: string, value: string | number | boolean | undefined): string[] {
  return value === undefined ? [] : [name, String(value)];
}
