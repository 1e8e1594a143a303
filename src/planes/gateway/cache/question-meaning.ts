/** What a question means, by the embeddings of a model of this system. Takes no place in its queue; bounded in time. */
import { isRecord, parseJsonObject } from '../../../wire/json/parse-object.ts';
import { askEngine } from '../ask-engine.ts';
import type { ReplicaEntry } from '../fleet-table.ts';
import type { GatewayContext } from '../gateway-context.ts';

/** A client waits for it, and goes on without. */
const TIMEOUT_MS = 1_000;
const BYTES_MAX = 1_048_576;
const DIMENSIONS_MAX = 8_192;

/** Null when no replica is ready, or its answer is late or none. */
export async function questionMeaning(
  context: GatewayContext,
  model: string,
  text: string,
): Promise<Float32Array<ArrayBuffer> | null> {
  const replica = leastBusy(context, context.table.find(model)?.replicas ?? []);
  if (replica === undefined) return null;
  const { servedModel, fields = {} } = replica.view;
  const { reply } = askEngine(context, replica.view, {
    path: '/v1/embeddings',
    body: { ...fields, model: servedModel, input: text, encoding_format: 'float' },
    timeoutMs: TIMEOUT_MS,
    bytesMax: BYTES_MAX,
  });
  const answer = await reply;
  return answer.kind === 'answered' && answer.status === 200 ? vectorIn(answer.body) : null;
}

function leastBusy(
  { shared, clock }: GatewayContext,
  replicas: readonly ReplicaEntry[],
): ReplicaEntry | undefined {
  const wallMs = clock.wallMs();
  return replicas
    .filter(({ view, slot }) => view.state === 'ready' && !shared.isEjected(slot, wallMs))
    .toSorted((a, b) => shared.inFlight(a.slot) - shared.inFlight(b.slot))[0];
}

function vectorIn(body: Buffer): Float32Array<ArrayBuffer> | null {
  let answer: Record<string, unknown>;
  try {
    answer = parseJsonObject(body);
  } catch {
    return null;
  }
  const [first] = Array.isArray(answer.data) ? (answer.data as unknown[]) : [];
  const numbers = isRecord(first) ? first.embedding : null;
  if (!Array.isArray(numbers) || numbers.length === 0 || numbers.length > DIMENSIONS_MAX) return null;
  return numbers.every((value) => Number.isFinite(value)) ? Float32Array.from(numbers as number[]) : null;
}
