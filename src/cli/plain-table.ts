/** How commands print tables. */
import Table from 'cli-table3';
import type { Colors } from './terminal.ts';

/** A table without lines: easy to read, easy to cut with other tools. */
export function plainTable(head: string[], colors: Colors) {
  const none = '';
  return new Table({
    head: head.map((title) => colors.dim(title)),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: none,
      'top-mid': none,
      'top-left': none,
      'top-right': none,
      bottom: none,
      'bottom-mid': none,
      'bottom-left': none,
      'bottom-right': none,
      left: none,
      'left-mid': none,
      mid: none,
      'mid-mid': none,
      right: none,
      'right-mid': none,
      middle: none,
    },
  });
}
