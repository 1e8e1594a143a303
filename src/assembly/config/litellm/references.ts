/**
 * References to the environment: LiteLLM writes `os.environ/NAME`, we write `${NAME}`. What its `environment_variables`
 * section gives is the default of the variable, as it is there.
 */
import { textFrom } from '../../../wire/json/scalars.ts';
import type { LocatedMap } from './located.ts';
import { type NotHonoured, notHonoured } from './not-honoured.ts';

const PREFIX = 'os.environ/';

export class References {
  readonly #section: LocatedMap | undefined;
  readonly #defaults = new Map<string, string>();
  readonly #used = new Set<string>();

  constructor(section: LocatedMap | undefined) {
    this.#section = section;
    for (const name of section?.keys ?? []) {
      const value = section?.take(name);
      if (value !== undefined) this.#defaults.set(name, textFrom(value));
    }
  }

  /** A text of the file as our file writes it. */
  text(written: string): string {
    if (!written.startsWith(PREFIX)) return written.replaceAll('${', '$${');
    return this.variable(written.slice(PREFIX.length));
  }

  variable(name: string): string {
    this.#used.add(name);
    const fallback = this.#defaults.get(name);
    return fallback === undefined ? `\${${name}}` : `\${${name}:-${fallback}}`;
  }

  /** Whether the section gives the variable. */
  gives(name: string): boolean {
    return this.#defaults.has(name);
  }

  /** Variables of the section that nothing here reads. */
  unused(): NotHonoured[] {
    return (this.#section?.keys ?? [])
      .filter((name) => !this.#used.has(name))
      .map((name) => ({
        ...notHonoured(name, (this.#section as LocatedMap).place(name)),
        reason:
          'nothing that is honoured reads this variable; set it in the environment of the engine that needs it',
      }));
  }
}
