/**
 * Reads what is known of the log of an engine: `log-rules/<name>.yaml`, and after it the files that it includes, each once. A
 * file that is not as the schema wants it is a broken build, so the error names the file and the place and is thrown at load.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import {
  type LogKnowledge,
  type LogRule,
  type LogRuleFile,
  logRuleFileSchema,
} from '../../contract/log-rule.ts';

/** Files about engines: those that have a name for `autoglm diagnose --engine`. The others are included by these. */
export const LOGGED_ENGINES = [
  'vllm',
  'sglang',
  'tgi',
  'llama-server',
  'ollama',
  'triton',
  'trtllm',
  'embedded',
] as const;
export type LoggedEngine = (typeof LOGGED_ENGINES)[number];
export const SHARED_LOG_RULES = ['kv-transfer', 'cuda', 'kernel'] as const;

export function loadLogRules(engine: LoggedEngine): LogRule[] {
  return filesOf(engine).flatMap((name) => readLogRuleFile(name).rules);
}

/** Markers and samples of the engine's own file alone: Triton is not vLLM because it runs it. */
export function loadLogKnowledge(engine: LoggedEngine): LogKnowledge & { title: string } {
  const { title, markers, samples } = readLogRuleFile(engine);
  const inner = engine === 'triton' ? readLogRuleFile('vllm').samples : [];
  return { title, rules: loadLogRules(engine), markers, samples: [...samples, ...inner] };
}

/** Where it is not known whose log it is: the rules of all, each once. */
export function loadAllLogKnowledge(): LogKnowledge {
  const names = [...LOGGED_ENGINES, ...SHARED_LOG_RULES];
  const all = names.map(readLogRuleFile);
  return {
    rules: all.flatMap(({ rules }) => rules),
    markers: all.flatMap(({ markers }) => markers),
    samples: all.flatMap(({ samples }) => samples),
  };
}

/** For whoever watches: an engine by its kind, `kernel` for the lines of the kernel, all where nothing closer is known. */
export function logKnowledgeOf(name: string): LogKnowledge {
  const engine = LOGGED_ENGINES.find((known) => known === name);
  if (engine !== undefined) return loadLogKnowledge(engine);
  if (name !== 'kernel') return loadAllLogKnowledge();
  const { rules, markers, samples } = readLogRuleFile('kernel');
  return { rules, markers, samples };
}

function filesOf(engine: string): string[] {
  return [engine, ...readLogRuleFile(engine).include];
}

const files = new Map<string, LogRuleFile>();

/** Each file is read once; nobody changes what it says. */
export function readLogRuleFile(name: string): LogRuleFile {
  const known = files.get(name);
  if (known !== undefined) return known;
  const file = parseLogRuleFile(name);
  files.set(name, file);
  return file;
}

function parseLogRuleFile(name: string): LogRuleFile {
  const url = new URL(`log-rules/${name}.yaml`, import.meta.url);
  const read = logRuleFileSchema.safeParse(parse(readFileSync(url, 'utf8')));
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Error(`${url.pathname}: ${issue?.path.join('.')}: ${issue?.message}`);
}
