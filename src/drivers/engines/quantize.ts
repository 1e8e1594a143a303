/**
 * `quantize:` of a model for engines that are told how by an option: our word, or the engine's own, becomes the engine's. Which
 * words an engine has is data in its driver.
 */

export interface QuantizeTable {
  flag: string;
  /** Words that mean the same for every engine, such as INT8 -> the value of the flag. */
  words: Readonly<Record<string, string>>;
  /** Values of the flag that are passed on as they are. */
  own: readonly string[];
}

/** The arguments for `value`; none for undefined. The value must have passed `quantizeFault`. */
export function quantizeArgs(table: QuantizeTable, value: string | undefined): string[] {
  if (value === undefined) return [];
  return [table.flag, engineWord(table, value) ?? value];
}

/** What is wrong with `value` for this engine, or undefined. */
export function quantizeFault(
  engine: string,
  table: QuantizeTable,
  value: string | undefined,
): string | undefined {
  if (value === undefined || engineWord(table, value) !== undefined) return undefined;
  const words = Object.entries(table.words).map(([word, own]) => `${word} (${table.flag} ${own})`);
  return `found "${value}"; ${engine} can do ${words.join(', ')}, or one of its own: ${table.own.join(', ')}`;
}

function engineWord({ words, own }: QuantizeTable, value: string): string | undefined {
  const wanted = plain(value);
  const word = Object.keys(words).find((name) => plain(name) === wanted);
  return word === undefined ? own.find((name) => plain(name) === wanted) : words[word];
}

/** Upper and lower case, hyphens and underscores are the same. */
function plain(value: string): string {
  return value.toLowerCase().replaceAll('_', '-');
}
