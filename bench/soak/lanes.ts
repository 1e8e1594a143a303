/**
 * The load of a soak: chats whole and streamed, stored responses, and clients that leave in the middle, each kind at a steady
 * rate. Nobody repeats a request, so whatever is lost is seen.
 */
import { Agent, request } from 'undici';

export interface LaneCounts {
  sent: number;
  completed: number;
  /** Clients that left on purpose. */
  left: number;
  failures: string[];
}

export interface Load {
  readonly counts: Record<string, LaneCounts>;
  /** Starts nothing more; resolves when what runs has ended. */
  stop(): Promise<void>;
}

interface Lane {
  perSecond: number;
  path: string;
  body(turn: number): object;
  isWhole(text: string): boolean;
  /** The client goes after so many bytes. */
  leavesAfterBytes?: number;
}

const FAILURES_KEPT = 20;
const chat = (turn: number, more: object) => ({
  model: 'sim',
  temperature: 0,
  messages: [{ role: 'user', content: `Question ${turn % 500} ${'word '.repeat(turn % 60)}` }],
  ...more,
});

/** Nominal; all together 20 a second. */
const LANES: Record<string, Lane> = {
  whole: {
    perSecond: 10,
    path: '/chat/completions',
    body: (turn) => chat(turn, { max_tokens: 10 + (turn % 20) }),
    isWhole: (text) => text.includes('"finish_reason":"'),
  },
  stream: {
    perSecond: 6,
    path: '/chat/completions',
    body: (turn) => chat(turn, { max_tokens: 20 + (turn % 100), stream: true }),
    isWhole: (text) => text.endsWith('data: [DONE]\n\n') && !text.includes('"error"'),
  },
  response: {
    perSecond: 2,
    path: '/responses',
    body: (turn) => ({ model: 'sim', input: `Question ${turn}`, max_output_tokens: 15, temperature: 0 }),
    isWhole: (text) => /"status": ?"(completed|incomplete)"/.test(text),
  },
  leaver: {
    perSecond: 2,
    path: '/chat/completions',
    body: (turn) => chat(turn, { max_tokens: 400, stream: true }),
    isWhole: () => true,
    leavesAfterBytes: 4_000,
  },
};

export function startLoad(v1: string, factor: number): Load {
  const agent = new Agent({ connections: 512, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  const counts: Record<string, LaneCounts> = {};
  const open = new Set<Promise<void>>();
  let stopping = false;
  const lanes = Object.entries(LANES).map(async ([name, lane]) => {
    const count: LaneCounts = { sent: 0, completed: 0, left: 0, failures: [] };
    counts[name] = count;
    const startedMs = performance.now();
    while (!stopping) {
      const due = startedMs + (count.sent * 1_000) / (lane.perSecond * factor) - performance.now();
      if (due > 0) {
        await new Promise((wake) => setTimeout(wake, Math.min(due, 100)));
        continue;
      }
      const one = ask(agent, v1, lane, count.sent++).then(
        (end) => void count[end]++,
        (error: unknown) => {
          if (count.failures.length < FAILURES_KEPT) count.failures.push(describe(error));
          else count.failures.push('');
        },
      );
      open.add(one);
      void one.then(() => open.delete(one));
    }
  });
  return {
    counts,
    stop: async () => {
      stopping = true;
      await Promise.all(lanes);
      await Promise.all(open);
      await agent.destroy();
    },
  };
}

async function ask(agent: Agent, v1: string, lane: Lane, turn: number): Promise<'completed' | 'left'> {
  const leaving = new AbortController();
  const answer = await request(`${v1}${lane.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(lane.body(turn)),
    dispatcher: agent,
    signal: leaving.signal,
  });
  let text = '';
  try {
    for await (const chunk of answer.body.setEncoding('utf8')) {
      text += chunk;
      if (text.length > (lane.leavesAfterBytes ?? Number.POSITIVE_INFINITY)) leaving.abort();
    }
  } catch (error) {
    if (leaving.signal.aborted) return 'left';
    throw error;
  }
  if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}: ${text.slice(0, 300)}`);
  if (!lane.isWhole(text)) throw new Error(`not whole: ${text.slice(-300)}`);
  return 'completed';
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return `${new Date().toISOString()} ${message}${cause === undefined ? '' : ` (${String(cause)})`}`;
}
