/**
 * The prompt of a request as a chain of block hashes: equal up to block i means equal text up to there, so that "who has seen
 * the longest beginning of this prompt" is a few table look-ups. Incremental, reused from request to request, bounded: only
 * the first BLOCKS_MAX blocks count, and a last block that is not full does not.
 *
 * Two 32-bit lanes per block: one chooses the place in the table, the other is compared there. They are hints, not proofs:
 * whoever forges a collision only moves a request to another replica within the load bound.
 */

/** Characters (UTF-16 units) per block, about 64 tokens of English: four blocks of vLLM's cache. */
export const BLOCK_CHARS = 256;
/** Blocks that count: 32,768 characters. Prompts that agree so far are one prompt to the scheduler. */
export const BLOCKS_MAX = 128;

export class PromptBlocks {
  /** Chained hash that chooses the set. */
  readonly places = new Int32Array(BLOCKS_MAX);
  /** Chained hash that is compared; never 0. */
  readonly tags = new Int32Array(BLOCKS_MAX);
  /** Full blocks so far. */
  count = 0;
  /** Characters so far, those behind the last block that counts included. */
  chars = 0;
  #place = 0;
  #tag = 0;
  #filled = 0;

  /** Begins a new prompt. `seed` keeps apart what must not share: pools, and tenants where the engine salts its cache. */
  start(seed: number): this {
    this.count = 0;
    this.chars = 0;
    this.#filled = 0;
    this.#place = seed | 0;
    this.#tag = ~seed;
    return this;
  }

  add(text: string): this {
    this.chars += text.length;
    let at = 0;
    while (at < text.length && this.count < BLOCKS_MAX) {
      const end = Math.min(text.length, at + BLOCK_CHARS - this.#filled);
      let place = this.#place;
      let tag = this.#tag;
      for (let index = at; index < end; index++) {
        const unit = text.charCodeAt(index);
        place = Math.imul(place ^ unit, 0x01000193);
        tag = Math.imul((tag << 5) ^ (tag >>> 27) ^ unit, 0x85ebca6b);
      }
      this.#place = place;
      this.#tag = tag;
      this.#filled += end - at;
      at = end;
      if (this.#filled === BLOCK_CHARS) this.#closeBlock();
    }
    return this;
  }

  #closeBlock(): void {
    const place = this.#place ^ (this.#place >>> 15);
    const mixed = Math.imul(place, 0x2c1b3c6d);
    this.places[this.count] = mixed ^ (mixed >>> 13);
    const tag = Math.imul(this.#tag ^ (this.#tag >>> 16), 0x297a2d39);
    this.tags[this.count] = tag ^ (tag >>> 15) || 1;
    this.count++;
    this.#filled = 0;
  }
}

/** Between the parts of a prompt, so that "ab" + "c" is not "a" + "bc". No prompt of people holds it. */
const PART_END = '\u0000\u0001';
/** Nesting beyond which nothing more counts: bodies come from strangers. */
const DEPTH_MAX = 16;

/**
 * Adds the canonical prompt of a parsed request body: tools and `system` first, as chat templates have them, then `messages` of
 * chat, `prompt` of completions or `input` of embeddings. Walks only as far as blocks count, whatever the size of the body.
 */
export function addPrompt(blocks: PromptBlocks, body: Readonly<Record<string, unknown>>): PromptBlocks {
  for (const part of [body.tools, body.system, body.messages ?? body.prompt ?? body.input]) {
    if (part !== undefined) addPart(blocks, part, 0);
  }
  return blocks;
}

function addPart(blocks: PromptBlocks, part: unknown, depth: number): void {
  if (blocks.count >= BLOCKS_MAX || depth > DEPTH_MAX) return;
  if (typeof part === 'string') blocks.add(part);
  else if (Array.isArray(part)) for (const item of part) addPart(blocks, item, depth + 1);
  else if (typeof part === 'object' && part !== null) addObject(blocks, part, depth);
  else blocks.add(String(part));
  blocks.add(PART_END);
}

/** A text part counts as its text, so that both ways to write a message are one prompt up to its end. */
function addObject(blocks: PromptBlocks, object: object, depth: number): void {
  const { type, text } = object as { type?: unknown; text?: unknown };
  if (type === 'text' && typeof text === 'string') return void blocks.add(text);
  for (const [name, value] of Object.entries(object)) {
    blocks.add(name);
    addPart(blocks, value, depth + 1);
  }
}
