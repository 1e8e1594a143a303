/** Requests that never stop, one after another on several lines, while a test changes something; every failure is kept. */
export interface Traffic {
  /** Answers so far. */
  readonly answered: number;
  readonly failures: string[];
  /** Resolves when `more` further answers have come. */
  progress(more: number): Promise<void>;
  /** Lets what runs end. */
  stop(): Promise<void>;
}

export interface TrafficOptions {
  /** `http://host:port/v1` */
  v1: string;
  model: string;
  /** Requests at once; every second one is streamed. Default 4. */
  lines?: number;
  maxTokens?: number;
}

export function startTraffic({ v1, model, lines = 4, maxTokens = 20 }: TrafficOptions): Traffic {
  const state = { answered: 0, stopping: false };
  const failures: string[] = [];
  const running = Array.from({ length: lines }, async (_, line) => {
    for (let turn = 0; !state.stopping; turn++) {
      const problem = await ask(v1, model, { stream: line % 2 === 0, maxTokens, turn });
      if (problem === null) state.answered++;
      else failures.push(problem);
    }
  });
  return {
    get answered() {
      return state.answered;
    },
    failures,
    progress: async (more) => {
      const wanted = state.answered + more;
      const endMs = performance.now() + 30_000;
      while (state.answered < wanted) {
        if (performance.now() > endMs)
          throw new Error(`no progress: ${state.answered} of ${wanted}; ${failures.at(-1)}`);
        await new Promise((wake) => setTimeout(wake, 5));
      }
    },
    stop: async () => {
      state.stopping = true;
      await Promise.all(running);
    },
  };
}

/** What was wrong with the answer; null: nothing. */
async function ask(
  v1: string,
  model: string,
  { stream, maxTokens, turn }: { stream: boolean; maxTokens: number; turn: number },
): Promise<string | null> {
  try {
    const response = await fetch(`${v1}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        stream,
        max_tokens: maxTokens,
        temperature: 0,
        messages: [{ role: 'user', content: `question ${turn}` }],
      }),
    });
    const text = await response.text();
    if (response.status !== 200) return `HTTP ${response.status} ${text.slice(0, 300)}`;
    const isWhole = stream ? text.trimEnd().endsWith('data: [DONE]') : text.includes('"finish_reason"');
    return isWhole && !text.includes('"error"') ? null : `not whole: ${text.slice(-300)}`;
  } catch (error) {
    return `${String(error)} ${String((error as Error).cause ?? '')}`;
  }
}
