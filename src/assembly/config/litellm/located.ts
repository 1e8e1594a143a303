/**
 * A map of a LiteLLM file that knows where each of its keys stands, and which of them were read. What nobody read is what
 * was not honoured; nothing can be forgotten by being overlooked.
 */
import type { ConfigDocument } from '../config-document.ts';
import { type ConfigPath, showPath } from '../config-problem.ts';

export interface Place {
  file: string;
  line: number;
  column: number;
  /** As `model_list[0].litellm_params.rpm`. */
  path: string;
}

export class LocatedMap {
  readonly #document: ConfigDocument;
  readonly #path: ConfigPath;
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>();

  constructor(document: ConfigDocument, path: ConfigPath, value: Readonly<Record<string, unknown>>) {
    this.#document = document;
    this.#path = path;
    this.#value = value;
  }

  get keys(): string[] {
    return Object.keys(this.#value);
  }

  /** The value of a key, which counts as honoured from here on; undefined when it is not there, or empty. */
  take(key: string): unknown {
    this.#read.add(key);
    return Object.hasOwn(this.#value, key) ? (this.#value[key] ?? undefined) : undefined;
  }

  /** A map below this one; undefined when there is none. */
  map(key: string): LocatedMap | undefined {
    const value = this.take(key);
    return isMap(value) ? new LocatedMap(this.#document, [...this.#path, key], value) : undefined;
  }

  /** Maps in a list below this one. Entries that are no maps are in `others`. */
  maps(key: string): { maps: LocatedMap[]; others: Place[] } {
    const value = this.take(key);
    const found: { maps: LocatedMap[]; others: Place[] } = { maps: [], others: [] };
    for (const [index, item] of (Array.isArray(value) ? value : []).entries()) {
      const path = [...this.#path, key, index];
      if (isMap(item)) found.maps.push(new LocatedMap(this.#document, path, item));
      else found.others.push(placeOf(this.#document, path));
    }
    return found;
  }

  place(key?: string): Place {
    return placeOf(this.#document, key === undefined ? this.#path : [...this.#path, key]);
  }

  /** Keys that nobody took. */
  rest(): { key: string; place: Place }[] {
    return this.keys.filter((key) => !this.#read.has(key)).map((key) => ({ key, place: this.place(key) }));
  }
}

function placeOf(document: ConfigDocument, path: ConfigPath): Place {
  const { line, column } = document.locate(path, true) ?? { line: 1, column: 1 };
  return { file: document.file, line, column, path: showPath(path) };
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
