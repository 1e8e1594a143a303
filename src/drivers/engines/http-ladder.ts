/**
 * The readiness ladder over HTTP: port, health, the expected model listed, one token. Each rung says what it found, in words
 * for `status`. What differs from engine to engine is in its `Ladder`.
 */
import type { EngineTarget, ProbeResult, ReadinessRung } from '../../contract/ports/engine-driver.ts';
import { connectTo, exchange, type ProbeResponse, parseJson, statusText } from './probe-http.ts';

export interface Ladder {
  healthPath: string;
  /** Whether a name in `/v1/models` is the model that is meant. Default: the same text. */
  sameModel?: (listed: string, expected: string) => boolean;
  /** Said when the model is not there: what a person can do. */
  missingModelHint?: (model: string) => string;
}

/** One token, by the first end point that the engine has for this model. */
const GENERATIONS = [
  { path: '/v1/completions', input: { prompt: 'Hello', max_tokens: 1, temperature: 0 }, answer: 'choices' },
  {
    path: '/v1/chat/completions',
    input: { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 1, temperature: 0 },
    answer: 'choices',
  },
  { path: '/v1/embeddings', input: { input: 'Hello' }, answer: 'data' },
] as const;

/** The engine says that this model has no such end point; not that it is ill. */
const NOT_HERE = [400, 404, 405, 422, 501];

const MODELS_SHOWN_MAX = 5;

export async function climbRung(
  target: EngineTarget,
  rung: ReadinessRung,
  ladder: Ladder,
  signal: AbortSignal,
): Promise<ProbeResult> {
  switch (rung) {
    case 'port':
      return connectTo(target, signal);
    case 'health':
      return judgeStatus(await exchange(target, { path: ladder.healthPath }, signal));
    case 'model':
      return judgeModels(target, ladder, await exchange(target, { path: '/v1/models' }, signal));
    case 'generation':
      return generate(target, signal);
  }
}

function judgeStatus(response: ProbeResponse): ProbeResult {
  if ('failure' in response) return { ok: false, detail: response.failure };
  const ok = response.status >= 200 && response.status < 300;
  return { ok, detail: ok ? `HTTP ${response.status}` : statusText(response) };
}

function judgeModels({ servedModel }: EngineTarget, ladder: Ladder, response: ProbeResponse): ProbeResult {
  const answered = judgeStatus(response);
  if (!answered.ok || 'failure' in response) return answered;
  const found = modelIds(parseJson(response.body));
  if (found === undefined) return { ok: false, detail: '/v1/models did not answer with a list of models' };
  const same = ladder.sameModel ?? ((listed, expected) => listed === expected);
  if (found.some((listed) => same(listed, servedModel)))
    return { ok: true, detail: `model '${servedModel}' is listed` };
  const shown = found.slice(0, MODELS_SHOWN_MAX).join(', ') || 'none';
  const hint = ladder.missingModelHint?.(servedModel);
  const detail = `model '${servedModel}' not listed; found: ${shown}`;
  return { ok: false, detail: hint === undefined ? detail : `${detail}; ${hint}` };
}

function modelIds(value: unknown): string[] | undefined {
  const data = (value as { data?: unknown } | null | undefined)?.data;
  if (!Array.isArray(data)) return undefined;
  return data
    .map((entry: unknown) => (entry as { id?: unknown } | null)?.id)
    .filter((id) => typeof id === 'string');
}

const CANARY = 'The three primary colours are';
const CANARY_TOKENS = 12;

/** By the first end point that has text for this model. */
export async function askCanary(
  target: EngineTarget,
  signal: AbortSignal,
): Promise<{ text: string | null; detail: string }> {
  const common = { model: target.servedModel, max_tokens: CANARY_TOKENS, temperature: 0 };
  const tries = [
    { path: '/v1/completions', body: { ...common, prompt: CANARY } },
    { path: '/v1/chat/completions', body: { ...common, messages: [{ role: 'user', content: CANARY }] } },
  ];
  let detail = 'not asked';
  for (const request of tries) {
    const response = await exchange(target, request, signal);
    if ('failure' in response) return { text: null, detail: response.failure };
    detail = statusText(response);
    if (response.status === 200) return { text: textIn(parseJson(response.body)), detail };
    if (!NOT_HERE.includes(response.status)) break;
  }
  return { text: null, detail };
}

function textIn(answer: unknown): string | null {
  const [choice] = (answer as { choices?: Choice[] } | null)?.choices ?? [];
  const text = choice?.text ?? choice?.message?.content;
  return typeof text === 'string' ? text : null;
}

interface Choice {
  text?: unknown;
  message?: { content?: unknown };
}

async function generate(target: EngineTarget, signal: AbortSignal): Promise<ProbeResult> {
  let last: ProbeResult = { ok: false, detail: 'not asked' };
  for (const { path, input, answer } of GENERATIONS) {
    const response = await exchange(target, { path, body: { model: target.servedModel, ...input } }, signal);
    last = judgeStatus(response);
    if ('failure' in response) return last;
    if (NOT_HERE.includes(response.status)) continue;
    if (!last.ok) return last;
    const body = parseJson(response.body) as Record<string, unknown> | null | undefined;
    const items = body?.[answer];
    if (Array.isArray(items) && items.length > 0) return { ok: true, detail: `one token by ${path}` };
    return { ok: false, detail: `${path} answered HTTP 200 without \`${answer}\`` };
  }
  return last;
}
