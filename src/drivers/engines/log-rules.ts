/**
 * Reads the log rules of an engine: `<engine>/log-rules.yaml`, and after them those of the files that it includes. A file that
 * is not as the schema wants it is a broken build, so the error names the file and the place and is thrown at load.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { type LogRule, type LogRuleFile, logRuleFileSchema } from '../../contract/log-rule.ts';

export function loadLogRules(engine: string): LogRule[] {
  const { include, rules } = readLogRuleFile(engine);
  return [...rules, ...include.flatMap((name) => readLogRuleFile(name).rules)];
}

export function readLogRuleFile(name: string): LogRuleFile {
  const url = new URL(`${name}/log-rules.yaml`, import.meta.url);
  const read = logRuleFileSchema.safeParse(parse(readFileSync(url, 'utf8')));
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Error(`${url.pathname}: ${issue?.path.join('.')}: ${issue?.message}`);
}
