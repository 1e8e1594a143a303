/** The options of `autoglm simulate --recovery`: one table gives parsing, defaults and the text of `--help`. */
import { PlatformError } from '../../contract/errors.ts';
import { nearest } from '../config/did-you-mean.ts';

interface HoursOption {
  default: number;
  min: number;
  max: number;
  isWhole: boolean;
  help: string;
}

const whole = (value: number, min: number, max: number, help: string): HoursOption => ({
  ...{ default: value, min, max, help },
  isWhole: true,
});
const number = (value: number, min: number, max: number, help: string): HoursOption => ({
  ...{ default: value, min, max, help },
  isWhole: false,
});
const YEAR_HOURS = 8_760;

export const hoursOptions = {
  seeds: whole(10, 1, 100_000, 'Worlds to run, one after the other.'),
  seed: whole(1, 0, 0xffff_ffff, 'Seed of the first one.'),
  hours: number(24, 0.05, YEAR_HOURS, 'Simulated hours of each.'),
  pools: whole(1, 1, 4, 'Models.'),
  replicas: whole(4, 1, 5, 'Replicas of each.'),
  'start-s': number(60, 0.1, 3_600, 'Seconds until an engine is ready, up to half as many again.'),
  'crash-every': number(50, 0, YEAR_HOURS, 'Hours between crashes of one replica; 0: none.'),
  'hang-every': number(100, 0, YEAR_HOURS, 'Hours until one replica makes no step any more; 0: none.'),
  'stall-every': number(50, 0, YEAR_HOURS, 'Hours until one answers nothing for up to a minute; 0: none.'),
  'prefill-every': number(1, 0, YEAR_HOURS, 'Hours until one reads a prompt for 1 to 12 s; 0: none.'),
  'supervisor-every': number(24, 0, YEAR_HOURS, 'Hours until the supervisor is killed or paused; 0: never.'),
  'bad-start': number(0.05, 0, 1, 'Share of starts that die at once.'),
  'never-ready': number(0.02, 0, 1, 'Share of starts that never become ready.'),
  'ignores-term': number(0.2, 0, 1, 'Share of processes that go only by SIGKILL.'),
  'answer-lost': number(0.01, 0, 0.5, 'Share of orders whose answer the supervisor never gets.'),
  'attended-after': number(0.5, 0.01, YEAR_HOURS, 'Hours after which a person restarts what was given up.'),
} as const satisfies Record<string, HoursOption>;

const FLAGS = ['json', 'trace'] as const;

export type HoursFigures = Record<keyof typeof hoursOptions, number>;

export interface HoursRequest {
  figures: HoursFigures;
  /** As they were written, but for the seeds: what a replay needs. */
  others: string[];
  json: boolean;
  trace: boolean;
}

/** Throws PlatformError `invalid_request`. */
export function parseHoursArgs(argv: readonly string[]): HoursRequest {
  const figures = Object.fromEntries(
    Object.entries(hoursOptions).map(([name, option]) => [name, option.default]),
  ) as HoursFigures;
  const request: HoursRequest = { figures, others: [], json: false, trace: false };
  for (let at = 0; at < argv.length; at++) {
    const [flag = '', inline] = (argv[at] ?? '').split('=', 2);
    const name = flag.replace(/^--/, '');
    if (name === 'json' || name === 'trace') {
      request[name] = true;
      continue;
    }
    if (!flag.startsWith('--') || !Object.hasOwn(hoursOptions, name)) throw unknownOption(flag);
    const text = inline ?? argv[++at] ?? '';
    const key = name as keyof typeof hoursOptions;
    figures[key] = readFigure(name, text, hoursOptions[key]);
    if (key !== 'seed' && key !== 'seeds') request.others.push(`${flag} ${text}`);
  }
  return request;
}

function unknownOption(flag: string): PlatformError {
  const known = [...Object.keys(hoursOptions), ...FLAGS].map((name) => `--${name}`);
  const meant = nearest(flag, known);
  const hint = meant === undefined ? `known: ${known.join(', ')}` : `did you mean ${meant}?`;
  return new PlatformError('invalid_request', `unknown option '${flag}'; ${hint}`);
}

function readFigure(name: string, text: string, { min, max, isWhole }: HoursOption): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
  const right = `${isWhole ? 'an integer' : 'a number'} from ${min} to ${max}`;
  throw new PlatformError('invalid_request', `--${name}: found "${text}"; would be right: ${right}`);
}

export function hoursHelp(): string {
  const lines = Object.entries(hoursOptions).map(
    ([name, option]) => `  --${name.padEnd(18)} ${option.help} [${option.default}]`,
  );
  return [
    'Usage: autoglm simulate --recovery [options]',
    '',
    'Runs what decides about recovery in a pretended world, thousands of times faster than real time, and says how well it did.',
    'All is drawn from a seed: the same seed gives the same story. Times between faults are means.',
    '',
    ...lines,
    `  --${'trace'.padEnd(18)} Print what happened, line by line; with --seeds 1.`,
    `  --${'json'.padEnd(18)} Print JSON for programs.`,
    '',
  ].join('\n');
}
