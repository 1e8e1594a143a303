/** The report of an incident as Markdown, for tickets and chats, and as plain text, for a terminal. */
import type { IncidentReport } from '../../contract/incident-report.ts';
import { blocksOf, type ReportBlock } from './report-blocks.ts';

const TEXT_COLUMNS = 100;

export function reportMarkdown(report: IncidentReport): string {
  return `${blocksOf(report).map(markdownOf).join('\n\n')}\n`;
}

export function reportPlainText(report: IncidentReport): string {
  return `${blocksOf(report).map(plainOf).join('\n')}\n`;
}

function markdownOf(block: ReportBlock): string {
  switch (block.kind) {
    case 'title':
      return `# ${inline(block.text)}`;
    case 'heading':
      return `## ${block.text}`;
    case 'paragraph':
      return inline(block.text);
    case 'list':
      return block.items.map((item) => `- ${inline(item)}`).join('\n');
    case 'table':
      return [block.head, block.head.map(() => '---'), ...block.rows.map((row) => row.map(cell))]
        .map((row) => `| ${row.join(' | ')} |`)
        .join('\n');
  }
}

/** What engines and users wrote is one line, and cannot become a heading or markup that hides something. */
function inline(text: string): string {
  return text
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .replace(/[<>]/g, (sign) => (sign === '<' ? '&lt;' : '&gt;'))
    .trim();
}

function cell(text: string): string {
  return inline(text).replaceAll('|', '\\|');
}

function plainOf(block: ReportBlock): string {
  switch (block.kind) {
    case 'title':
      return plain(block.text);
    case 'heading':
      return `\n${block.text.toUpperCase()}`;
    case 'paragraph':
      return wrapped(plain(block.text), '', '');
    case 'list':
      return block.items.map((item) => wrapped(plain(item), '- ', '  ')).join('\n');
    case 'table':
      return plainTable(block.head, block.rows);
  }
}

function plainTable(head: string[], rows: string[][]): string {
  const all = [head, ...rows].map((row) => row.map(plain));
  // The last column may be as long as it likes: nothing stands behind it.
  const widths = head.map((_, column) =>
    column === head.length - 1 ? 0 : Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  return all
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Without marks of Markdown and without control characters. */
function plain(text: string): string {
  return text
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .replaceAll('**', '')
    .trim();
}

function wrapped(text: string, first: string, others: string): string {
  const lines: string[] = [];
  let line = first;
  for (const word of text.split(' ')) {
    const isBegun = line.trim() !== '' && line !== first;
    if (isBegun && line.length + 1 + word.length > TEXT_COLUMNS) {
      lines.push(line);
      line = others;
    }
    line += line === first || line === others ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}
