/** `autoglm diagnose FILE`: what went wrong with an engine, from its log, and how that was concluded. */
import { resolve } from 'node:path';
import { diagnoseLog } from '../assembly/diagnosis/diagnose-log.ts';
import type { Evidence, LogDiagnosis } from '../contract/diagnosis.ts';
import type { CommandContext } from './command-context.ts';
import { wrap } from './fit.ts';
import { printable, type Terminal } from './terminal.ts';

export interface DiagnoseOptions {
  engine?: string;
  json?: boolean;
}

export async function diagnose(
  file: string,
  options: DiagnoseOptions,
  { environment, terminal }: CommandContext,
): Promise<void> {
  const stdin = file === '-';
  if (stdin && process.stdin.isTTY) terminal.complain('reading standard input; Ctrl-D ends it');
  const found = await diagnoseLog({
    file: stdin ? file : resolve(environment.workDir, file),
    name: stdin ? 'standard input' : file,
    stdin: process.stdin,
    ...(options.engine !== undefined && { engine: options.engine }),
  });
  if (options.json === true) terminal.print(JSON.stringify(found, null, 2));
  else terminal.print(describe(found, terminal).join('\n'));
}

/** Where nothing says how wide a line may be. */
const WIDTH_DEFAULT = 110;
const WIDTH_MIN = 60;

function describe(found: LogDiagnosis, { colors, columns }: Terminal): string[] {
  const width = Math.max(WIDTH_MIN, columns ?? WIDTH_DEFAULT);
  const paragraph = (text: string) => wrap(text, width - 2).map((line) => `  ${line}`);
  const section = (title: string, lines: string[]) =>
    lines.length === 0 ? [] : ['', colors.bold(title), ...lines];
  return [
    colors.dim(sourceLine(found)),
    '',
    ...verdict(found, colors, paragraph),
    ...section(
      'Evidence',
      found.evidence.flatMap((evidence) => evidenceLines(evidence, width, colors)),
    ),
    ...section(
      'Ruled out',
      found.ruledOut.flatMap(({ class: fault, why }) => paragraph(`${fault}: ${printable(why)}`)),
    ),
    ...section('What to do', advice(found).flatMap(paragraph)),
  ];
}

function sourceLine({ source, lines, engine, attempts }: LogDiagnosis): string {
  const whose = engine.recognised && engine.name !== null ? `looks like ${engine.title}` : engine.title;
  const count = (amount: number, word: string) =>
    `${amount.toLocaleString('en-US')} ${word}${amount === 1 ? '' : 's'}`;
  const starts =
    attempts.total > 1
      ? `; ${count(attempts.total, 'start')}, this is about lines ${attempts.firstLine} to ${attempts.lastLine}`
      : '';
  const later = attempts.latest ? '' : ', and the starts after it look well';
  return `${source}: ${count(lines, 'line')} of ${whose}${starts}${later}`.replace(
    ' of looks like',
    ', looks like',
  );
}

function verdict(
  { class: name, confidence, fault }: LogDiagnosis,
  colors: Terminal['colors'],
  paragraph: (text: string) => string[],
): string[] {
  if (name === 'none')
    return [colors.green(colors.bold('none')), ...paragraph('nothing in this log speaks of a fault')];
  if (fault === null) {
    return [
      colors.yellow(colors.bold('unknown')),
      ...paragraph('something is wrong, and no rule knows what: look at the lines below'),
    ];
  }
  const title = colors.red(colors.bold(name));
  return [
    `${title}  ${colors.dim(`row ${fault.row}, ${Math.round(confidence * 100)} % sure`)}`,
    ...paragraph(fault.meaning),
  ];
}

const ROLE_WIDTH = 14;

function evidenceLines(
  { line, times, role, text, rule, sources, signal }: Evidence,
  width: number,
  colors: Terminal['colors'],
): string[] {
  const label = (role ?? signal).padEnd(ROLE_WIDTH);
  const place = line === undefined ? '' : `line ${line}`;
  const head = `  ${place.padEnd(12)} ${label}`;
  const room = Math.max(24, width - head.length);
  const clean = printable(text).replaceAll(/\s+/g, ' ');
  const shown = clean.length > room ? `${clean.slice(0, room - 1)}…` : clean;
  const from = rule === undefined ? [] : [`rule ${rule}`, ...(sources ?? [])];
  const often = times !== undefined && times > 1 ? [`${times} times`] : [];
  const below = [...often, ...from].join('; ');
  const indent = ' '.repeat(head.length);
  const notes = below === '' ? [] : wrap(below, room).map((part) => `${indent}${colors.dim(part.trim())}`);
  return [`  ${colors.cyan(place.padEnd(12))} ${label}${shown}`, ...notes];
}

const STRATEGY_WORDS = {
  'retry-with-backoff': 'transient: what failed may be tried again, with growing pauses',
  'fail-over-and-rebuild': 'permanent: let others take over, and build it anew',
  'elect-by-majority': 'a partition: what the majority of the ranks agrees on counts',
  'safe-shutdown': 'unknown: keep the evidence, end it in order, have a person look',
} as const;

function advice({ fault, strategy, class: name }: LogDiagnosis): string[] {
  if (strategy === null) return [];
  if (fault === null || name === 'unknown')
    return [STRATEGY_WORDS[strategy], 'a rule for these lines can be added: docs/diagnosis.md'];
  return [
    fault.todo,
    STRATEGY_WORDS[strategy],
    ...(fault.restartHelps ? [] : ['a restart of the engine does not help']),
  ];
}
