/** Makes text fit a terminal: lines that are cut, lines that go on below, and no more of them than there is room for. */

const COLOUR = /\p{Cc}\[[0-9;]*m/gu;
/** How far a text goes in that is continued on the next line. */
const INDENT = '    ';

/** Without the blanks at the ends of its lines. */
export function trimEnds(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** At most `width` characters wide; what stands beyond is left out, colours are kept. */
export function clipLine(line: string, width: number): string {
  if (line.replaceAll(COLOUR, '').length <= width) return line;
  let shown = '';
  let left = width - 1;
  let at = 0;
  for (const found of [...line.matchAll(COLOUR), { index: line.length, 0: '' }]) {
    const text = line.slice(at, found.index);
    const part = text.slice(0, left);
    left -= part.length;
    shown += left === 0 && part !== '' && part.length < text.length ? `${part}…` : part;
    // Colours that end behind the cut must still end.
    shown += found[0];
    at = found.index + found[0].length;
  }
  return shown.includes('…') ? shown : `${shown}…`;
}

/** The same words on several lines; words that are longer than a line stay whole. `text` has no colours. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(/^\s*\S+|\S+/g) ?? []) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `${INDENT}${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}

/** The end of a path or an address says more than its beginning. */
export function shortenStart(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - Math.max(0, width - 1))}`;
}

/** At most `rows` lines; the last one says how many are missing. */
export function clipRows(text: string, rows: number): string {
  const lines = text.split('\n');
  if (lines.length <= rows) return text;
  const shown = lines.slice(0, Math.max(1, rows - 1));
  return [...shown, `… and ${lines.length - shown.length} lines more`].join('\n');
}
