/**
 * Faults as data: what goes wrong, and when. Given on the command line, in a file or over HTTP, always validated here, with the
 * path, the value found and what would be right in every message.
 */
import { z } from 'zod';
import { PlatformError } from '../../contract/errors.ts';
import { FAILURE_LOG_NAMES } from './failure-logs.ts';

export const START_PHASES = ['fetch', 'load', 'compile', 'capture'] as const;
export type StartPhase = (typeof START_PHASES)[number];

const count = z.int().min(1);
const span = z.int().min(0).max(86_400_000);

const triggerSchema = z.strictObject({
  atStart: z
    .union([z.literal(true), z.enum(START_PHASES)])
    .optional()
    .describe('While the process starts: in the named phase; `true`: in the first.'),
  afterMs: span
    .optional()
    .describe('So long after the fault was armed (from the command line: after ready).'),
  atRequest: count.optional().describe('With the n-th generation request of the process.'),
  atToken: count
    .optional()
    .describe(
      'At the n-th token of the request; for faults of the whole process without another condition on the request: n tokens after arming.',
    ),
  promptContains: z.string().min(1).optional().describe('With a request whose prompt contains this text.'),
  promptTokensOver: z.int().min(0).optional().describe('With a request whose prompt has more tokens.'),
});

const shape = {
  id: z.string().min(1).max(100).optional().describe('Name for DELETE; given out when left away.'),
  when: triggerSchema.prefault({}),
  times: count
    .optional()
    .describe('How often it fires. Default: once; with a condition on the prompt: always.'),
};
const lasting = {
  ...shape,
  durationMs: span.optional().describe('Ends by itself after this. Default: lasts.'),
};

const signals = ['SIGKILL', 'SIGTERM', 'SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGQUIT', 'SIGSTOP'] as const;

export const faultSchema = z.discriminatedUnion('action', [
  z
    .strictObject({
      ...shape,
      action: z.literal('exit'),
      code: z.union([z.literal(0), z.literal(1), z.literal(134), z.literal(137), z.literal(139)]).default(1),
      signal: z.enum(signals).optional().describe('Sent to itself instead of exiting with a code.'),
      log: z
        .union([z.enum(FAILURE_LOG_NAMES), z.array(z.string())])
        .optional()
        .describe('Printed before.'),
      delayMs: span.default(0).describe('Between the log lines and the end.'),
      countFile: z
        .string()
        .min(1)
        .optional()
        .describe('File that counts the exits over restarts, so that `times` holds for all processes.'),
    })
    .describe('The process ends.'),
  z
    .strictObject({ ...lasting, action: z.literal('hang') })
    .describe('No step is made any more; HTTP lives on.'),
  z
    .strictObject({ ...shape, action: z.literal('hang-request') })
    .describe('One request gets no more tokens and keeps its slot.'),
  z
    .strictObject({
      ...lasting,
      action: z.literal('starve-frontend'),
      delayMs: span.default(30_000).describe('How late /health and /v1/models answer.'),
      metricsToo: z.boolean().default(false),
    })
    .describe('The HTTP side is slow, the engine is well.'),
  z
    .strictObject({ ...shape, action: z.literal('stall-stream') })
    .describe('A stream falls silent without FIN; the engine goes on.'),
  z
    .strictObject({
      ...shape,
      action: z.literal('truncate-stream'),
      how: z
        .enum(['reset', 'mid-event', 'end'])
        .default('reset')
        .describe('Cut the socket; cut it inside an event; or end cleanly without [DONE].'),
    })
    .describe('A stream ends before its time.'),
  z
    .strictObject({ ...lasting, action: z.literal('corrupt-text') })
    .describe('Every token is "!", as with NaN logits.'),
  z
    .strictObject({ ...lasting, action: z.literal('out-of-memory'), tokensOver: count })
    .describe('A step over more tokens than this ends the process with the CUDA out-of-memory lines.'),
  z
    .strictObject({
      ...shape,
      action: z.literal('orphan'),
      outliveMs: span.default(10_000).describe('How long the child lives on after its parent.'),
      ownGroup: z.boolean().default(false).describe('Whether it escapes from the process group.'),
    })
    .describe('Starts a child that outlives the process and keeps the pretend GPU memory.'),
  z
    .strictObject({ ...lasting, action: z.literal('slow'), factor: z.number().min(0.01).max(10_000) })
    .describe('Steps take so many times longer.'),
  z
    .strictObject({ ...lasting, action: z.literal('preemption-storm'), perStep: count.default(1) })
    .describe('Each step preempts so many running requests.'),
  z.strictObject({ ...lasting, action: z.literal('ignore-sigterm') }).describe('SIGTERM has no effect.'),
  z
    .strictObject({
      ...lasting,
      action: z.literal('metrics-dead'),
      how: z
        .enum(['hang', 'reset', 'error'])
        .default('hang')
        .describe('No answer; a cut connection; or status 500.'),
    })
    .describe('/metrics does not answer.'),
  z
    .strictObject({
      ...lasting,
      action: z.literal('rename-metric'),
      from: z.string().min(1).default('vllm:kv_cache_usage_perc'),
      to: z.string().min(1).default('vllm:gpu_cache_usage_perc'),
    })
    .describe('A metric has another name, as in another release.'),
  z
    .strictObject({ ...lasting, action: z.literal('jump-clock'), byMs: z.int() })
    .describe('The wall clock of the process jumps.'),
  z
    .strictObject({
      ...shape,
      action: z.literal('xid'),
      xid: z.int().min(1).max(999),
      file: z.string().min(1).optional(),
    })
    .describe('A line about a GPU fault in the pretend kernel log (`--kmsg-file` or `file`).'),
  z
    .strictObject({
      ...shape,
      action: z.literal('http-error'),
      status: z.union([z.literal(500), z.literal(502), z.literal(503), z.literal(429)]).default(503),
      retryAfterS: z.int().min(0).optional(),
      path: z.string().startsWith('/').default('/v1/').describe('Requests whose path begins so.'),
    })
    .describe('Requests are answered with an error.'),
  z
    .strictObject({ ...shape, action: z.literal('empty-answer') })
    .describe('A generation request gets 200 with an empty body.'),
]);

export type Fault = z.output<typeof faultSchema>;
export type FaultOf<Action extends Fault['action']> = Extract<Fault, { action: Action }>;

/** Where a fault acts: on the process once, on the process for a time, on one request inside the engine, or before it in HTTP. */
export type FaultScope = 'once' | 'lasting' | 'request' | 'http';

const SCOPES: Record<Fault['action'], FaultScope> = {
  exit: 'once',
  orphan: 'once',
  xid: 'once',
  hang: 'lasting',
  'starve-frontend': 'lasting',
  'corrupt-text': 'lasting',
  'out-of-memory': 'lasting',
  slow: 'lasting',
  'preemption-storm': 'lasting',
  'ignore-sigterm': 'lasting',
  'metrics-dead': 'lasting',
  'rename-metric': 'lasting',
  'jump-clock': 'lasting',
  'hang-request': 'request',
  'stall-stream': 'request',
  'truncate-stream': 'request',
  'http-error': 'http',
  'empty-answer': 'http',
};

export function scopeOf(fault: Fault): FaultScope {
  return SCOPES[fault.action];
}

/** Whether the fault waits for a certain request. */
export function concernsRequest(fault: Fault): boolean {
  const { atRequest, promptContains, promptTokensOver } = fault.when;
  return (
    scopeOf(fault) === 'request' ||
    atRequest !== undefined ||
    promptContains !== undefined ||
    promptTokensOver !== undefined
  );
}

/** One fault, or a list of them. Throws PlatformError `config_invalid`; `source` is where the value came from (`--fault`, a file). */
export function parseFaults(value: unknown, source: string): Fault[] {
  const list = Array.isArray(value) ? value : [value];
  return list.map((item, index) => parseFault(item, Array.isArray(value) ? `${source}[${index}]` : source));
}

export function parseFaultText(text: string, source: string): Fault[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PlatformError(
      'config_invalid',
      `${source}: not JSON (${(error as Error).message}): ${text.slice(0, 80)}`,
    );
  }
  return parseFaults(value, source);
}

function parseFault(value: unknown, source: string): Fault {
  const result = faultSchema.safeParse(value);
  if (!result.success) {
    const lines = result.error.issues.map((issue) => explain(issue, value, source));
    throw new PlatformError('config_invalid', lines.join('; '));
  }
  const contradiction = contradictionIn(result.data);
  if (contradiction !== null) throw new PlatformError('config_invalid', `${source}.when: ${contradiction}`);
  return result.data;
}

function explain(issue: z.core.$ZodIssue, value: unknown, source: string): string {
  const found = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
  const path = [source, ...issue.path.map(String)].join('.');
  if (issue.path.join() === 'action' || typeof found !== 'object' || found === null) {
    const known = issue.path.join() === 'action' ? `; known: ${Object.keys(SCOPES).join(', ')}` : '';
    return `${path}: found ${JSON.stringify(found) ?? 'nothing'}; ${issue.message}${known}`;
  }
  return `${path}: ${issue.message}`;
}

function contradictionIn(fault: Fault): string | null {
  const { when } = fault;
  const scope = scopeOf(fault);
  const others = Object.entries(when).filter(([key, value]) => key !== 'atStart' && value !== undefined);
  if (when.atStart !== undefined && (scope === 'request' || scope === 'http')) {
    return `atStart found with "${fault.action}", but there are no requests at the start; leave it away`;
  }
  if (when.atStart !== undefined && others.length > 0) {
    return `atStart found together with ${others[0]?.[0]}; give one of them`;
  }
  if (scope === 'http' && (when.atToken !== undefined || when.promptTokensOver !== undefined)) {
    return `"${fault.action}" is answered before there are tokens; use afterMs, atRequest or promptContains`;
  }
  return null;
}
