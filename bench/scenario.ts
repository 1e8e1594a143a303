/** A scenario of the bench: what the load client sends and what the mock engine answers. One file each in `scenarios/`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const scenarioSchema = z.strictObject({
  name: z.string().min(1),
  about: z.string().min(1),
  /**
   * What it is measured for: processor time per request or chunk; latency beside that, with a direct connection for
   * comparison; or memory, on a process that has just started.
   */
  subject: z.enum(['cpu', 'latency', 'memory']),
  /** Runs only when it is named. */
  optional: z.boolean().default(false),
  stream: z.boolean(),
  /** Size of the request body. */
  bodyBytes: z.int().min(256),
  concurrency: z.int().min(1),
  requests: z.int().min(1),
  /** Ends the closed loop before all requests were sent. */
  durationMs: z.int().min(1).optional(),
  /** Open loop. */
  ratePerSecond: z.number().positive().optional(),
  /** Content events of a streamed answer. */
  chunks: z.int().min(1).optional(),
  /** Between the chunks of one stream; 0: as fast as they leave. */
  paceMs: z.int().min(0).optional(),
});

export type Scenario = z.output<typeof scenarioSchema>;

export function loadScenarios(folder: string): Scenario[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.map((file) => {
    const result = scenarioSchema.safeParse(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    if (!result.success) throw new Error(`${file}: ${z.prettifyError(result.error)}`);
    return result.data;
  });
}

/** Those named in `only`, or all that are not optional. Throws RangeError for a name that there is not. */
export function chosen(scenarios: readonly Scenario[], only: readonly string[] | null): Scenario[] {
  if (only === null) return scenarios.filter(({ optional }) => !optional);
  const unknown = only.find((name) => !scenarios.some((scenario) => scenario.name === name));
  if (unknown !== undefined) {
    const names = scenarios.map(({ name }) => name).join(', ');
    throw new RangeError(`--only: unknown scenario '${unknown}'; known: ${names}`);
  }
  return scenarios.filter(({ name }) => only.includes(name));
}

const SHORT_MS = 1_200;

/** The same scenario in less time; what a request or chunk costs stays comparable. */
export function shortened(scenario: Scenario): Scenario {
  const { ratePerSecond, durationMs, chunks, paceMs = 0 } = scenario;
  return {
    ...scenario,
    ...(ratePerSecond !== undefined && { requests: Math.ceil((ratePerSecond * SHORT_MS) / 1000) }),
    ...(durationMs !== undefined && { durationMs: SHORT_MS }),
    ...(chunks !== undefined && paceMs > 0 && { chunks: Math.ceil(chunks / 2) }),
  };
}

export const BENCH_MODEL = 'bench';

/** The request body; the mock engine reads from `user` what to answer. */
export function requestBody({ stream, bodyBytes, chunks, paceMs }: Scenario): Buffer {
  const body = {
    user: `${chunks ?? 0}x${paceMs ?? 0}`,
    model: BENCH_MODEL,
    stream,
    messages: [{ role: 'user', content: '' }],
  };
  const [message] = body.messages;
  const missing = bodyBytes - Buffer.byteLength(JSON.stringify(body));
  if (message !== undefined)
    message.content = 'lorem ipsum '.repeat(Math.ceil(missing / 12)).slice(0, missing);
  return Buffer.from(JSON.stringify(body));
}

/** A short request of the same kind: compiles code and opens connections before the measuring begins. */
export function warmUpBody(scenario: Scenario): Buffer {
  return requestBody({ ...scenario, ...(scenario.chunks !== undefined && { chunks: 50, paceMs: 0 }) });
}
