/**
 * Options of a model that must fit its engine: what it cannot do is said here, with what it can, and not by the engine at its
 * start. An option that nobody would read is a mistake, too.
 */
import type { Config } from '../../contract/config-schema.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import { optionFault } from '../../drivers/engines/option-faults.ts';
import type { ConfigProblem } from './config-problem.ts';

export function checkEngineOptions({ models }: Config): ConfigProblem[] {
  return models.flatMap((model, index) =>
    faultsOf(model).map(({ option, message }) => ({ path: ['models', index, option], message })),
  );
}

interface Fault {
  option: string;
  message: string;
}

function faultsOf(model: ModelConfig): Fault[] {
  if (model.urls !== undefined) return [...unread(model, 'found together with `urls`', runsAlready)];
  if (model.command !== undefined) return [...unread(model, 'found together with `command`', inCommand)];
  const fault = optionFault(model.engine, {
    model: model.model ?? model.model_name,
    quantize: model.quantize,
    tensorParallelSize: model.tensor_parallel_size,
  });
  return fault === undefined ? [] : [fault];
}

/** Options that are given, but read by nobody. */
function* unread(
  model: ModelConfig,
  found: string,
  remedy: (model: ModelConfig, option: string) => string | undefined,
): Generator<Fault> {
  for (const option of ['quantize', 'tensor_parallel_size', 'args'] as const) {
    const value = model[option];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const right = remedy(model, option);
    if (right !== undefined) yield { option, message: `${found}; ${right}` };
  }
}

const runsAlready = () => 'an engine that runs already was started with its own options: leave it out';

function inCommand({ command = [] }: ModelConfig, option: string): string | undefined {
  if (option === 'args') return 'write the arguments into `command`';
  if (command.some((word) => word.includes(`{${option}}`))) return undefined;
  return `write {${option}} into \`command\` where the engine is told it, or leave it out`;
}
