/**
 * The regular expressions that data files may hold: a subset in which no line can keep a matcher busy for long, whoever wrote it.
 * Every repetition has an upper bound, only single characters repeat, nothing looks around or back, and each alternative holds a
 * literal text, so that a line without any of these texts need not be tried at all (`decide/diagnosis/line-filter.ts`).
 */
export interface PatternReading {
  /** Why the pattern is refused; null: it is not. */
  fault: string | null;
  /** A line that matches has at least one of these in it. */
  literals: readonly string[];
}

/** Texts that are shorter stand in too many lines to tell them apart. */
const LITERAL_CHARACTERS_MIN = 4;
/** Steps that one position of a line may cost: the product of the upper bounds of long repetitions. */
const STEPS_MAX = 100_000;
/** Repetitions up to this, mostly digits, end by what follows them and do not multiply. */
const SHORT_REPEAT = 20;
const REPEAT_MAX = 300;

export function readPattern(source: string): PatternReading {
  const reader = new PatternReader(source);
  try {
    new RegExp(source);
    const literals = reader.read();
    if (reader.steps > STEPS_MAX) throw new Refused('its repetitions multiply to too many steps');
    if (literals === null) {
      const wanted = `a literal text of ${LITERAL_CHARACTERS_MIN} characters`;
      throw new Refused(`each alternative must hold ${wanted}`);
    }
    return { fault: null, literals };
  } catch (error) {
    const fault = error instanceof Refused ? error.message : 'not a regular expression';
    return { fault, literals: [] };
  }
}

class Refused extends Error {}

const REFUSED_GROUPS = /^\(\?(=|!|<=|<!)/;
const GROUP_START = /^\((\?:|\?<[A-Za-z]\w*>)?/;
const CHARACTER_CLASS = /^\[(?:\\.|[^\]\\])*\]/;
const QUANTIFIER = /^(?:[*+?]|\{\d+(?:,\d*)?\})/;

class PatternReader {
  steps = 1;
  #rest: string;

  constructor(source: string) {
    this.#rest = source;
  }

  /** What is required of a line, or null where nothing is. */
  read(): string[] | null {
    const literals = this.#alternatives();
    if (this.#rest !== '') throw new Refused('not a regular expression');
    return literals;
  }

  /** Up to the end of the pattern or of the group. */
  #alternatives(): string[] | null {
    const before = this.steps;
    const all: (string[] | null)[] = [];
    let most = before;
    do {
      this.steps = before;
      all.push(this.#sequence());
      most = Math.max(most, this.steps);
    } while (this.#take(/^\|/) !== null);
    this.steps = most;
    return all.some((literals) => literals === null) ? null : all.flatMap((literals) => literals ?? []);
  }

  #sequence(): string[] | null {
    const choices: string[][] = [];
    let run = '';
    const endRun = () => {
      if (run.length >= LITERAL_CHARACTERS_MIN) choices.push([run]);
      run = '';
    };
    while (this.#rest !== '' && !/^[|)]/.test(this.#rest)) {
      if (REFUSED_GROUPS.test(this.#rest))
        throw new Refused('it looks around: (?=, (?!, (?<= and (?<! are refused');
      if (this.#take(GROUP_START) !== null) {
        endRun();
        const inner = this.#alternatives();
        if (this.#take(/^\)/) === null) throw new Refused('not a regular expression');
        const repeat = this.#take(QUANTIFIER);
        if (repeat !== null && repeat !== '?') throw new Refused(`a group repeats: )${repeat}`);
        if (inner !== null && repeat === null) choices.push(inner);
        continue;
      }
      const literal = this.#atom();
      const repeat = this.#take(QUANTIFIER);
      if (repeat !== null) this.#bound(repeat);
      if (literal !== null && repeat === null) run += literal;
      else endRun();
    }
    endRun();
    const shortest = (texts: string[]) => Math.min(...texts.map(({ length }) => length));
    return choices.sort((a, b) => shortest(b) - shortest(a))[0] ?? null;
  }

  /** One character: the literal that it stands for, or null where it stands for several. */
  #atom(): string | null {
    if (this.#take(CHARACTER_CLASS) !== null) return null;
    const escaped = this.#take(/^\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/);
    if (escaped !== null) {
      const letter = escaped[1] as string;
      if (/[1-9k]/.test(letter)) throw new Refused('it looks back: \\1 and \\k are refused');
      return /\w/.test(letter) ? null : letter;
    }
    const character = this.#take(/^[\s\S]/) as string;
    return /[.^$]/.test(character) ? null : character;
  }

  #bound(repeat: string): void {
    if (repeat === '?') return;
    const most = /^\{\d+\}$/.test(repeat) ? repeat.slice(1, -1) : /,(\d+)\}$/.exec(repeat)?.[1];
    if (most === undefined) throw new Refused(`a repetition without an upper bound: ${repeat}`);
    if (Number(most) > REPEAT_MAX) throw new Refused(`a repetition above ${REPEAT_MAX}: ${repeat}`);
    if (Number(most) > SHORT_REPEAT) this.steps *= Number(most);
  }

  #take(pattern: RegExp): string | null {
    const found = pattern.exec(this.#rest)?.[0];
    if (found === undefined) return null;
    this.#rest = this.#rest.slice(found.length);
    return found;
  }
}
