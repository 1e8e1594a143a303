/**
 * Rules for texts that go where not every character may: names into tables, logs and messages, and what a process is started
 * with into the system, which takes no NUL. Without them the first is unreadable, and the second fails at the start.
 */
import type { Config } from '../../contract/config-schema.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import type { ConfigPath, ConfigProblem } from './config-problem.ts';

const CONTROL = /\p{Cc}/u;

export function checkTexts({ models }: Config): ConfigProblem[] {
  return models.flatMap((model, index) => [
    ...checkNames(model, ['models', index]),
    ...checkStart(model, ['models', index]),
  ]);
}

function checkNames(
  { model_name, served_model_name, aliases }: ModelConfig,
  at: ConfigPath,
): ConfigProblem[] {
  const named: [string | undefined, ConfigPath][] = [
    [model_name, ['model_name']],
    [served_model_name, ['served_model_name']],
    ...aliases.map((alias, position): [string, ConfigPath] => [alias, ['aliases', position]]),
  ];
  return named.flatMap(([name, path]) => {
    if (name === undefined || (!CONTROL.test(name) && name.trim() === name)) return [];
    const message = `found ${JSON.stringify(name)}; would be right: a name on one line, without control characters and without blanks around it`;
    return [{ path: [...at, ...path], message }];
  });
}

function checkStart({ model, command = [], env }: ModelConfig, at: ConfigPath): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const texts: [string | undefined, ConfigPath][] = [
    [model, ['model']],
    ...command.map((part, position): [string, ConfigPath] => [part, ['command', position]]),
    ...Object.entries(env).map(([name, value]): [string, ConfigPath] => [value, ['env', name]]),
  ];
  for (const [text, path] of texts) {
    if (text?.includes('\0'))
      problems.push({ path: [...at, ...path], message: 'found a NUL character; leave it out' });
  }
  for (const name of Object.keys(env)) {
    if (/^[^=\0]+$/.test(name)) continue;
    const message = `found ${JSON.stringify(name)} as a name; would be right: a name of a variable, without "="`;
    problems.push({ path: [...at, 'env', name], message, atKey: true });
  }
  return problems;
}
