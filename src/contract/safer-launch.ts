/**
 * How the next start of an engine differs from the configuration after `restart_safer` or `rebuild_elsewhere`. It stands in the
 * contract because assembly makes the steps and the supervisor applies them; pure.
 */

/** What one step of `restart_safer` changes. A share is of the value that held before the step. */
export interface SaferStep {
  /** Requests at a time. */
  maxBatchSize?: number;
  /** 0..1; instead of `maxBatchSize`. At least one request at a time is left. */
  batchShare?: number;
  /** Context in tokens. */
  maxSeqLength?: number;
  /** Arguments of the engine; they replace the same options of the arguments before. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** The part of a launch that steps change. */
export interface SaferBase {
  /** In effect, the default of the engine included; undefined: not known, and shares change nothing. */
  maxBatchSize: number | undefined;
  maxSeqLength: number | undefined;
  /** The further arguments of the model, those that stand after ours. */
  args: readonly string[];
  env: Readonly<Record<string, string>>;
}

/** The first `count` steps, one upon the other; a count beyond the last step is that of all. */
export function saferLaunch(base: SaferBase, steps: readonly SaferStep[], count: number): SaferBase {
  return steps.slice(0, Math.max(0, count)).reduce(takeStep, base);
}

function takeStep(base: SaferBase, step: SaferStep): SaferBase {
  const { batchShare, maxSeqLength = base.maxSeqLength, args = [], env } = step;
  const shared =
    batchShare === undefined || base.maxBatchSize === undefined
      ? base.maxBatchSize
      : Math.max(1, Math.floor(base.maxBatchSize * batchShare));
  return {
    maxBatchSize: step.maxBatchSize ?? shared,
    maxSeqLength,
    args: withOptions(base.args, args),
    env: { ...base.env, ...env },
  };
}

/** Some engines refuse an option that is given twice, so the former one goes. */
function withOptions(before: readonly string[], further: readonly string[]): readonly string[] {
  if (further.length === 0) return before;
  const replaced = new Set(further.filter(isOption).map(optionName));
  const kept: string[] = [];
  let dropping = false;
  for (const word of before) {
    if (isOption(word)) dropping = replaced.has(optionName(word));
    if (!dropping) kept.push(word);
  }
  return [...kept, ...further];
}

/** The value of the last `--name VALUE` or `--name=VALUE`; undefined: the option is not there. */
export function optionValue(args: readonly string[], name: string): string | undefined {
  const at = args.findLastIndex((word) => isOption(word) && optionName(word) === name);
  const word = args[at];
  if (word === undefined) return undefined;
  if (word.includes('=')) return word.slice(word.indexOf('=') + 1);
  const next = args[at + 1];
  return next === undefined || isOption(next) ? undefined : next;
}

/** `-1` is a value. */
function isOption(word: string): boolean {
  return /^--?[A-Za-z]/.test(word);
}

function optionName(word: string): string {
  const [name = word] = word.split('=', 1);
  return name;
}

/** What makes a process see only these devices (`1`, `2,3`), on NVIDIA's and on AMD's. */
export function deviceEnvironment(devices: string): Record<string, string> {
  return { CUDA_VISIBLE_DEVICES: devices, HIP_VISIBLE_DEVICES: devices };
}
