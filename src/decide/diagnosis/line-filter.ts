/**
 * Which of many literal texts stand in a line, found in one pass over it (Aho and Corasick, 1975). Nearly all lines of a log hold
 * none of them, and are done with after that pass, however many rules there are: that is what makes files of gigabytes bearable.
 */
/** Characters beyond are all taken for one that stands in no literal. */
const ALPHABET = 128;
const ROOT = 0;

export interface LineFilter {
  /** Calls back for each owner one of whose literals stands in the line; more than once where several do. */
  scan(line: string, found: (owner: number) => void): void;
}

/** `literals[owner]`: texts of plain ASCII; a text of others makes its owner be found in every line. */
export function createLineFilter(literals: readonly (readonly string[])[]): LineFilter {
  const { next, owners } = buildTrie(literals);
  const everywhere = literals.flatMap((texts, owner) => (texts.every(isPlain) ? [] : [owner]));
  const { ends } = linkFailures(next, owners);
  const table = Int32Array.from(next);
  return {
    scan(line, found) {
      for (const owner of everywhere) found(owner);
      let state = ROOT;
      for (let at = 0; at < line.length; at++) {
        const code = line.charCodeAt(at);
        state = code < ALPHABET ? (table[state * ALPHABET + code] as number) : ROOT;
        const here = ends[state];
        if (here !== undefined) for (const owner of here) found(owner);
      }
    },
  };
}

interface Trie {
  /** State times alphabet; -1: no such child. */
  next: number[];
  /** Whose literal ends in a state. */
  owners: Map<number, Set<number>>;
}

function buildTrie(literals: readonly (readonly string[])[]): Trie {
  const next: number[] = new Array(ALPHABET).fill(-1);
  const owners = new Map<number, Set<number>>();
  for (const [owner, texts] of literals.entries())
    for (const text of texts.filter(isPlain)) {
      let state = ROOT;
      for (const character of text) {
        const edge = state * ALPHABET + character.charCodeAt(0);
        if (next[edge] === -1) {
          next[edge] = next.length / ALPHABET;
          for (let code = 0; code < ALPHABET; code++) next.push(-1);
        }
        state = next[edge] as number;
      }
      const ending = owners.get(state) ?? new Set();
      owners.set(state, ending.add(owner));
    }
  return { next, owners };
}

/** Turns the trie into an automaton without failing edges: each state knows where every character leads. */
function linkFailures(next: number[], owners: Map<number, Set<number>>): { ends: (number[] | undefined)[] } {
  const failure: number[] = [];
  const queue: number[] = [];
  for (let code = 0; code < ALPHABET; code++) {
    const child = next[code] as number;
    if (child === -1) next[code] = ROOT;
    else {
      failure[child] = ROOT;
      queue.push(child);
    }
  }
  for (let read = 0; read < queue.length; read++) {
    const state = queue[read] as number;
    const fallback = failure[state] as number;
    for (const owner of owners.get(fallback) ?? [])
      owners.set(state, (owners.get(state) ?? new Set()).add(owner));
    for (let code = 0; code < ALPHABET; code++) {
      const edge = state * ALPHABET + code;
      const child = next[edge] as number;
      const elsewhere = next[fallback * ALPHABET + code] as number;
      if (child === -1) next[edge] = elsewhere;
      else {
        failure[child] = elsewhere;
        queue.push(child);
      }
    }
  }
  const ends: (number[] | undefined)[] = [];
  for (const [state, set] of owners) ends[state] = [...set];
  return { ends };
}

function isPlain(text: string): boolean {
  return [...text].every((character) => character.charCodeAt(0) < ALPHABET);
}
