/** `autoglm simulate --recovery`: thousands of hours of a pretended fleet, and how well its supervisor did. */
import { type HoursResult, simulateHours, traceHours } from '../assembly/recovery-simulation/hours.ts';
import {
  type HoursRequest,
  hoursHelp,
  parseHoursArgs,
} from '../assembly/recovery-simulation/hours-options.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { CommandContext } from './command-context.ts';
import type { Colors } from './terminal.ts';

export async function simulateRecovery(
  options: readonly string[],
  { terminal, exit }: CommandContext,
): Promise<void> {
  if (options.includes('--help')) return terminal.write(hoursHelp());
  const request = parseHoursArgs(options);
  const { figures, json, trace } = request;
  if (trace) for (const line of traceHours({ ...figures, seeds: 1 })) terminal.print(line);
  const last = figures.seed + figures.seeds - 1;
  const result = simulateHours(figures, (seed) => {
    if (terminal.interactive && !json) terminal.write(`\rseed ${seed} of ${last}\r`);
  });
  if (json) terminal.print(JSON.stringify(result, null, 2));
  else terminal.tell(describe(result, request, terminal.colors));
  if (result.violations.length > 0) exit(EXIT_CODES.failed.code);
}

const share = (part: number) => `${(part * 100).toFixed(part > 0.99 || part < 0.01 ? 3 : 1)} %`;

function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

function spread({ p50Ms, p99Ms, maxMs, count }: HoursResult['untilServing']): string {
  if (count === 0) return 'never needed';
  return `p50 ${span(p50Ms)}, p99 ${span(p99Ms)}, longest ${span(maxMs)} (${count} times)`;
}

function describe(result: HoursResult, { figures, others }: HoursRequest, colors: Colors): string {
  const { seeds, worst, violations, availability, deceived } = result;
  const hours = Math.round(result.simulatedHours).toLocaleString('en-US');
  const replay = [`autoglm simulate --recovery --seed ${worst.seed} --seeds 1`, ...others, '--trace'].join(
    ' ',
  );
  const wrong = violations.map(
    ({ seed, violation }) => `${colors.red('did not hold')}       seed ${seed}: ${violation?.split('\n')[0]}`,
  );
  return [
    `${hours} hours of ${figures.pools * figures.replicas} replicas, seeds ${figures.seed} to ${figures.seed + seeds.length - 1}`,
    `availability       ${share(availability)} of a replica; ${share(deceived)} in rotation and not able to serve`,
    `restarts           ${result.restarts}, of which false ${result.falseRestarts}; given up ${result.quarantines} times`,
    `until detected     ${spread(result.untilDetected)}`,
    `until it served    ${spread(result.untilServing)}`,
    ...wrong,
    `worst seed         ${worst.seed}: availability ${share(worst.availability)}, restarts ${worst.restarts}`,
    `                   \`${replay}\``,
  ].join('\n');
}
