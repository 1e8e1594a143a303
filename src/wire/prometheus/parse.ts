/**
 * Reads Prometheus text, as far as engines are asked for their numbers: names, labels and values. Lines that are not
 * samples, and broken ones, are passed over: a metric that cannot be read is one that the engine does not have.
 */
export interface PrometheusSample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** More lines than any engine has; the rest is not looked at. */
const LINES_MAX = 100_000;

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$/s;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"/gs;

export function parsePrometheusText(text: string): PrometheusSample[] {
  const samples: PrometheusSample[] = [];
  for (const line of text.split('\n', LINES_MAX)) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels, value] = SAMPLE.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    const number = parseValue(value);
    if (number !== undefined) samples.push({ name, labels: parseLabels(labels ?? ''), value: number });
  }
  return samples;
}

/** Sum over all label sets of the first of `names` that occurs; undefined when none does. */
export function sumOf(samples: readonly PrometheusSample[], names: readonly string[]): number | undefined {
  const values = valuesOf(samples, names);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

/** Largest over all label sets of the first of `names` that occurs. */
export function largestOf(
  samples: readonly PrometheusSample[],
  names: readonly string[],
): number | undefined {
  const values = valuesOf(samples, names);
  return values.length === 0 ? undefined : values.reduce((most, value) => Math.max(most, value));
}

function valuesOf(samples: readonly PrometheusSample[], names: readonly string[]): number[] {
  for (const name of names) {
    const values = samples.filter((sample) => sample.name === name).map(({ value }) => value);
    if (values.length > 0) return values;
  }
  return [];
}

function parseValue(text: string): number | undefined {
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^NaN$/i.test(text)) return Number.NaN;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = Object.create(null);
  for (const [, name, value] of text.matchAll(LABEL)) labels[name as string] = plain(value as string);
  return labels;
}

function plain(text: string): string {
  return text.replaceAll(/\\(.)/gs, (_whole, character: string) => (character === 'n' ? '\n' : character));
}
