/**
 * Counters and histograms of one process or thread, and their Prometheus text. A thread hands its deltas to whoever renders;
 * labels are bounded by the caller (models, outcomes, status classes), never by users' input.
 */
export interface Family {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  /** Upper bounds of a histogram, ascending, without +Inf. */
  bounds?: readonly number[];
}

export type Labels = Readonly<Record<string, string>>;

interface HistogramCell {
  /** One count per bound, and one for +Inf; not cumulative. */
  counts: number[];
  sum: number;
}

/** Values by family and by rendered labels; survives postMessage. */
export interface MetricDeltas {
  values: Record<string, Record<string, number>>;
  histograms: Record<string, Record<string, HistogramCell>>;
}

export class MetricSet {
  readonly #families: readonly Family[];
  readonly #bounds = new Map<string, readonly number[]>();
  #values = new Map<string, Map<string, number>>();
  #histograms = new Map<string, Map<string, HistogramCell>>();

  constructor(families: readonly Family[]) {
    this.#families = families;
    for (const family of families) {
      if (family.type === 'histogram') this.#bounds.set(family.name, family.bounds ?? []);
    }
  }

  add(name: string, labels: Labels, amount = 1): void {
    const cells = childMap(this.#values, name);
    const key = labelText(labels);
    cells.set(key, (cells.get(key) ?? 0) + amount);
  }

  set(name: string, labels: Labels, value: number): void {
    childMap(this.#values, name).set(labelText(labels), value);
  }

  /** Forgets all values of a gauge: what is not set again has none. */
  clear(name: string): void {
    this.#values.delete(name);
  }

  observe(name: string, labels: Labels, value: number): void {
    const bounds = this.#bounds.get(name) ?? [];
    const cell = this.#cell(name, labelText(labels), bounds.length);
    let index = 0;
    while (index < bounds.length && value > bounds[index]!) index++;
    cell.counts[index]!++;
    cell.sum += value;
  }

  /** What has come since the last call; this set is empty afterwards. */
  takeDeltas(): MetricDeltas {
    const deltas: MetricDeltas = {
      values: toRecord(this.#values),
      histograms: toRecord(this.#histograms),
    };
    this.#values = new Map();
    this.#histograms = new Map();
    return deltas;
  }

  merge(deltas: MetricDeltas): void {
    for (const [name, cells] of Object.entries(deltas.values)) {
      const target = childMap(this.#values, name);
      for (const [key, value] of Object.entries(cells)) target.set(key, (target.get(key) ?? 0) + value);
    }
    for (const [name, cells] of Object.entries(deltas.histograms)) {
      for (const [key, { counts, sum }] of Object.entries(cells)) {
        const cell = this.#cell(name, key, counts.length - 1);
        counts.forEach((count, index) => {
          cell.counts[index]! += count;
        });
        cell.sum += sum;
      }
    }
  }

  /** Prometheus text exposition format 0.0.4. `common` labels stand on every sample. */
  render(common: Labels = {}): string {
    const prefix = labelText(common);
    return this.#families.map((family) => this.#renderFamily(family, prefix)).join('');
  }

  #renderFamily({ name, help, type }: Family, common: string): string {
    const lines: string[] = [];
    for (const [key, value] of this.#values.get(name) ?? [])
      lines.push(`${name}${braces(common, key)} ${value}`);
    for (const [key, cell] of this.#histograms.get(name) ?? [])
      lines.push(...this.#renderHistogram(name, common, key, cell));
    return lines.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
  }

  #renderHistogram(name: string, common: string, key: string, { counts, sum }: HistogramCell): string[] {
    const bounds = this.#bounds.get(name) ?? [];
    let cumulative = 0;
    const lines = counts.map((count, index) => {
      cumulative += count;
      return `${name}_bucket${braces(common, key, `le="${bounds[index] ?? '+Inf'}"`)} ${cumulative}`;
    });
    return [
      ...lines,
      `${name}_sum${braces(common, key)} ${sum}`,
      `${name}_count${braces(common, key)} ${cumulative}`,
    ];
  }

  #cell(name: string, key: string, boundCount: number): HistogramCell {
    const cells = childMap(this.#histograms, name);
    let cell = cells.get(key);
    if (cell === undefined) {
      cell = { counts: new Array<number>(boundCount + 1).fill(0), sum: 0 };
      cells.set(key, cell);
    }
    return cell;
  }
}

function childMap<V>(map: Map<string, Map<string, V>>, name: string): Map<string, V> {
  let child = map.get(name);
  if (child === undefined) {
    child = new Map();
    map.set(name, child);
  }
  return child;
}

function toRecord<V>(map: Map<string, Map<string, V>>): Record<string, Record<string, V>> {
  return Object.fromEntries([...map].map(([name, cells]) => [name, Object.fromEntries(cells)]));
}

const NEEDS_ESCAPE = /[\\\n"]/;

function labelText(labels: Labels): string {
  let text = '';
  for (const name in labels) {
    const value = labels[name] as string;
    text += `${text === '' ? '' : ','}${name}="${NEEDS_ESCAPE.test(value) ? escaped(value) : value}"`;
  }
  return text;
}

function escaped(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"');
}

function braces(...parts: string[]): string {
  const text = parts.filter((part) => part !== '').join(',');
  return text === '' ? '' : `{${text}}`;
}
