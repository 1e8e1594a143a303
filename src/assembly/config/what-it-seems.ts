/** What a file seems to be that is no configuration: whoever named the wrong one is told so, and not every line of it. */
const HEAD_CHARACTERS = 4_096;

const KINDS: readonly [RegExp, string][] = [
  [/^GGUF/, 'a model file; `--model` takes it, or `model:` of an entry of `models`'],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a text file does not have.
  [/[\u0000-\u0008\u000e-\u001a\ufffd]/, 'a binary file'],
  [/^\s*<[!?a-zA-Z]/, 'HTML or XML'],
  [/^#!/, 'a script'],
  [/^\s*\[[\w.-]+\]\s*$/m, 'TOML or an INI file'],
  [/^(#{1,3} \S.*\n\s*\n|```)/m, 'Markdown'],
];

export function whatItSeems(text: string): string | undefined {
  const head = text.slice(0, HEAD_CHARACTERS);
  return KINDS.find(([pattern]) => pattern.test(head))?.[1];
}
