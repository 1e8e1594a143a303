/**
 * Ids of responses and of their items. An item's id holds the id of its response, so that an `item_reference` finds the
 * response it stands in without an index over all items.
 */
export type ItemPlace = 'input' | 'output';

const RESPONSE_ID = /^resp_([0-9a-f]{32})$/;
const ITEM_ID = /^(?:msg|fco?|rs)_([0-9a-f]{32})[io]\d{1,6}$/;

/** @param random 32 hexadecimal digits that nobody can guess: with keys off, knowing an id is all it takes to read it. */
export function responseIdOf(random: string): string {
  return `resp_${random}`;
}

export function isResponseId(text: string): boolean {
  return RESPONSE_ID.test(text);
}

export function itemIdOf(
  responseId: string,
  kind: 'msg' | 'fc' | 'fco' | 'rs',
  place: ItemPlace,
  index: number,
): string {
  return `${kind}_${responseId.slice('resp_'.length)}${place === 'input' ? 'i' : 'o'}${index}`;
}

/** The response that an item of ours stands in; null for an id that is not ours. */
export function responseOfItem(itemId: string): string | null {
  const random = ITEM_ID.exec(itemId)?.[1];
  return random === undefined ? null : responseIdOf(random);
}
