/** A scenario of the bench: what the load client sends and what the mock engine answers. One file each in `scenarios/`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const scenarioSchema = z.strictObject({
  name: z.string().min(1),
  about: z.string().min(1),
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

/** The same scenario, short: for a check that all runs, not for figures. */
export function shortened(scenario: Scenario): Scenario {
  return {
    ...scenario,
    requests: scenario.ratePerSecond === undefined ? scenario.requests : 500,
    ...(scenario.durationMs !== undefined && { durationMs: 1000 }),
    ...(scenario.chunks !== undefined && { chunks: Math.ceil(scenario.chunks / 4) }),
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
