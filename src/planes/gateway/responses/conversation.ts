/** The items that a response is an answer to: those of the turns before it, then its own input with references looked up. */
import { PlatformError } from '../../../contract/errors.ts';
import {
  CONVERSATION_BYTES_MAX,
  CONVERSATION_TURNS_MAX,
  type ResponseTurn,
} from '../../../contract/ports/response-store.ts';
import type { InputEntry, Item } from '../../../wire/responses/input-items.ts';
import { isResponseId, responseOfItem } from '../../../wire/responses/item-ids.ts';
import { refuseField } from '../../../wire/responses/refuse-field.ts';
import { previousNotFound } from '../../../wire/responses/request.ts';
import type { GatewayContext } from '../gateway-context.ts';
import { isRunning } from './stored-response.ts';

export interface Conversation {
  /** Of the turns before. */
  earlier: Item[];
  /** Of this request. */
  input: Item[];
}

/** References that one request may hold to responses outside its conversation; each is a read. */
const REFERENCED_RESPONSES_MAX = 20;

/** Rejects with `previous_response_not_found`, `invalid_request` or `storage_unavailable`; reads only what it must. */
export async function loadConversation(
  context: GatewayContext,
  owner: string,
  request: { previousResponseId: string | null; input: readonly InputEntry[] },
): Promise<Conversation> {
  const { previousResponseId } = request;
  const earlier =
    previousResponseId === null ? [] : await earlierItems(context, { id: previousResponseId, owner });
  const input = await resolveReferences(context, owner, request.input, earlier);
  return { earlier, input };
}

/** Input and output of the turns up to `id`, oldest first. */
export async function earlierItems(
  context: GatewayContext,
  { id, owner }: { id: string; owner: string },
): Promise<Item[]> {
  if (!isResponseId(id)) throw previousNotFound(id);
  const nowMs = context.clock.wallMs();
  const found = await context.stores.responses.conversation({ id, owner, nowMs });
  if (found.kind === 'broken') throw previousNotFound(found.missing);
  if (found.kind === 'too-long')
    throw refuseField(
      'previous_response_id',
      id,
      `a conversation of at most ${CONVERSATION_TURNS_MAX} responses and ${CONVERSATION_BYTES_MAX} bytes`,
    );
  const running = found.turns.find(isRunning);
  if (running !== undefined)
    throw new PlatformError(
      'invalid_request',
      `Previous response with id '${running.id}' is ${running.status}; wait until it is completed.`,
      { param: 'previous_response_id' },
    );
  return found.turns.flatMap(itemsOf);
}

function itemsOf({ inputJson, responseJson }: Pick<ResponseTurn, 'inputJson' | 'responseJson'>): Item[] {
  const { output } = JSON.parse(responseJson) as { output: Item[] };
  // A call that was cut has no whole arguments.
  const whole = output.filter(({ type, status }) => type !== 'function_call' || status === 'completed');
  return [...(JSON.parse(inputJson) as Item[]), ...whole];
}

async function resolveReferences(
  context: GatewayContext,
  owner: string,
  input: readonly InputEntry[],
  earlier: readonly Item[],
): Promise<Item[]> {
  const known = new Map(earlier.map((item) => [item.id, item]));
  const read = new Set<string>();
  const items: Item[] = [];
  for (const entry of input) {
    if (entry.kind === 'item') {
      known.set(entry.item.id, entry.item);
      items.push(entry.item);
      continue;
    }
    const responseId = responseOfItem(entry.id);
    if (!known.has(entry.id) && responseId !== null && !read.has(responseId)) {
      if (read.size >= REFERENCED_RESPONSES_MAX)
        throw refuseField(entry.param, entry.id, `items of at most ${REFERENCED_RESPONSES_MAX} responses`);
      read.add(responseId);
      const stored = await context.stores.responses.find({
        id: responseId,
        owner,
        nowMs: context.clock.wallMs(),
      });
      for (const item of stored === null ? [] : itemsOf(stored)) known.set(item.id, item);
    }
    const item = known.get(entry.id);
    if (item === undefined) throw refuseField(entry.param, entry.id, 'the id of an item that is kept');
    items.push(item);
  }
  return items;
}
