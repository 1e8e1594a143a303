/**
 * Follows the JSON text of one object as it arrives in pieces and knows when the object is complete, without keeping the
 * text. Looks at nesting and strings only; what is complete here may still be invalid JSON, which the parser then says.
 */

export type ScanState =
  /** Nothing but white space so far. */
  | 'before'
  | 'inside'
  | 'complete'
  /** The text is not one object: it begins otherwise, or goes on after its end. */
  | 'broken';

const SPACE = /^[ \t\r\n]$/;

export class ObjectScanner {
  state: ScanState = 'before';
  #depth = 0;
  #inString = false;
  #escaped = false;

  push(text: string): void {
    for (const char of text) {
      if (this.state === 'broken') return;
      if (this.state === 'inside') this.#inside(char);
      else if (!SPACE.test(char)) this.#outside(char);
    }
  }

  #outside(char: string): void {
    if (this.state === 'complete' || char !== '{') {
      this.state = 'broken';
      return;
    }
    this.state = 'inside';
    this.#depth = 1;
  }

  #inside(char: string): void {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (char === '\\') this.#escaped = true;
      else if (char === '"') this.#inString = false;
    } else if (char === '"') this.#inString = true;
    else if (char === '{' || char === '[') this.#depth++;
    else if (char === '}' || char === ']') {
      this.#depth--;
      if (this.#depth === 0) this.state = 'complete';
    }
  }
}
