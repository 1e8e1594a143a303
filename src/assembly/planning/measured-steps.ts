/**
 * Reads steps that were measured on an engine: CSV with a header, a JSON array, or one JSON object per line, with the columns
 * T_prefill, batch, sum_ctx and step_ms. Further columns are left alone; steps without work are left out.
 */
import { readFileSync } from 'node:fs';
import { PlatformError } from '../../contract/errors.ts';
import type { MeasuredStep } from '../../contract/planning.ts';

const COLUMNS = ['T_prefill', 'batch', 'sum_ctx', 'step_ms'] as const;
/** Five costs, and something to say how well they fit. */
const STEPS_MIN = 20;
const STEPS_MAX = 2_000_000;

export function readMeasuredSteps(file: string, name: string): MeasuredStep[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new PlatformError('invalid_request', `${name} can not be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const steps = parseMeasuredSteps(text, name);
  if (steps.length < STEPS_MIN || steps.length > STEPS_MAX)
    throw wrong(name, `${steps.length} steps`, `${STEPS_MIN} to ${STEPS_MAX} of different load`);
  return steps;
}

export function parseMeasuredSteps(text: string, name: string): MeasuredStep[] {
  const rows = /^\s*[[{]/.test(text) ? jsonRows(text, name) : csvRows(text, name);
  return rows
    .map(({ place, values }) => readStep(`${name}, ${place}`, values))
    .filter(({ prefillTokens, decodeBatch }) => prefillTokens + decodeBatch > 0);
}

interface Row {
  place: string;
  values: Record<string, unknown>;
}

function wrong(place: string, found: string, right: string): PlatformError {
  return new PlatformError('invalid_request', `${place}: found ${found}; would be right: ${right}`);
}

function jsonRows(text: string, name: string): Row[] {
  const isList = text.trimStart().startsWith('[');
  const items = isList
    ? [...(parseJson(text, name) as unknown[]).entries()]
    : [...text.split('\n').entries()]
        .filter(([, line]) => line.trim() !== '')
        .map(([index, line]) => [index, parseJson(line, `${name}, line ${index + 1}`)] as const);
  return items.map(([index, item]) => {
    const place = `${isList ? 'entry' : 'line'} ${index + 1}`;
    if (typeof item !== 'object' || item === null)
      throw wrong(`${name}, ${place}`, JSON.stringify(item), `an object with ${COLUMNS.join(', ')}`);
    return { place, values: item as Record<string, unknown> };
  });
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(place, (error as Error).message, 'JSON');
  }
}

function csvRows(text: string, name: string): Row[] {
  const lines = [...text.split(/\r?\n/).entries()].filter(
    ([, line]) => line.trim() !== '' && !line.startsWith('#'),
  );
  const [, header = ''] = lines[0] ?? [];
  const names = header.split(',').map((column) => column.trim());
  const absent = COLUMNS.filter((column) => !names.includes(column));
  if (absent.length > 0)
    throw wrong(`${name}, first line`, `"${header.slice(0, 80)}"`, `a header with ${COLUMNS.join(',')}`);
  return lines.slice(1).map(([index, line]) => {
    const cells = line.split(',');
    const values = Object.fromEntries(names.map((column, at) => [column, cells[at]?.trim()]));
    return { place: `line ${index + 1}`, values };
  });
}

function readStep(place: string, values: Record<string, unknown>): MeasuredStep {
  const read = (column: (typeof COLUMNS)[number]) => {
    const found = values[column];
    const value = typeof found === 'string' && found !== '' ? Number(found) : found;
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw wrong(`${place}, ${column}`, JSON.stringify(found) ?? 'nothing', 'a number from 0');
  };
  const stepMs = read('step_ms');
  if (stepMs === 0) throw wrong(`${place}, step_ms`, '0', 'milliseconds above 0');
  return {
    prefillTokens: read('T_prefill'),
    decodeBatch: read('batch'),
    decodeContext: read('sum_ctx'),
    stepMs,
  };
}
