/** The command line of the bench. Pure. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  help: boolean;
  quick: boolean;
  check: boolean;
  keep: boolean;
  repetitions: number;
  only: string[] | null;
  /** Arguments of Node for the gateway, such as `--cpu-prof`. */
  nodeArgs: string[];
}

export const HELP = `npm run bench -- [options]

What the gateway costs beside nginx and, where installed, Portkey: CPU per request and per relayed chunk,
added latency, memory per 1000 streams. All as ratios of one run (see bench/README.md).

  --quick          shorter scenarios, fewer repetitions, without Portkey; under two minutes
  --check          compares with the kept result; exit code 1 when a figure is worse by more than 15 %
  --keep           makes this run the kept result: bench/results/gateway.json and .svg
  --only A,B       these scenarios: U2, U20, P200, S, R500, M1000, and I10000, which runs only when named
  --repetitions N  default 5, with --quick 2
  --node-args=...  arguments of Node for the gateway, separated by spaces; to profile it:
                   --node-args="--cpu-prof --cpu-prof-dir=/tmp/profile"
  --help           this text
`;

/** Throws TypeError or RangeError that say what is wrong. */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      repetitions: { type: 'string' },
      only: { type: 'string' },
      'node-args': { type: 'string' },
    },
  });
  const { help, quick, check, keep } = values;
  const repetitions = Number(values.repetitions ?? (quick ? 2 : 5));
  if (!Number.isInteger(repetitions) || repetitions < 1)
    throw new RangeError(`--repetitions: found '${values.repetitions}'; expected a whole number from 1`);
  if (keep && (quick || check || values.only !== undefined))
    throw new RangeError('--keep: only a full run is kept; leave out --quick, --check and --only');
  return {
    help,
    quick,
    check,
    keep,
    repetitions,
    only: values.only?.split(',') ?? null,
    nodeArgs: values['node-args']?.split(' ').filter((arg) => arg !== '') ?? [],
  };
}
