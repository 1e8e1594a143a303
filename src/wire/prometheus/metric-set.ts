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

/** One counter or gauge under its labels. Whoever counts often keeps it, and is spared looking it up. */
export class ValueCell {
  value = 0;
  /** Something was counted since the values were last handed over. */
  touched = false;

  add(amount = 1): void {
    this.value += amount;
    this.touched = true;
  }

  set(value: number): void {
    this.value = value;
    this.touched = true;
  }
}

/** One histogram under its labels. */
export class HistogramCell {
  readonly bounds: readonly number[];
  /** One count per bound, and one for +Inf; not cumulative. */
  readonly counts: number[];
  sum = 0;
  touched = false;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let index = 0;
    while (index < this.bounds.length && value > this.bounds[index]!) index++;
    this.counts[index]!++;
    this.sum += value;
    this.touched = true;
  }
}

/** Values by family and by rendered labels; survives postMessage. */
export interface MetricDeltas {
  values: Record<string, Record<string, number>>;
  histograms: Record<string, Record<string, { counts: number[]; sum: number }>>;
}

export class MetricSet {
  readonly #families: readonly Family[];
  readonly #bounds = new Map<string, readonly number[]>();
  readonly #values = new Map<string, Map<string, ValueCell>>();
  readonly #histograms = new Map<string, Map<string, HistogramCell>>();

  constructor(families: readonly Family[]) {
    this.#families = families;
    for (const family of families) {
      if (family.type === 'histogram') this.#bounds.set(family.name, family.bounds ?? []);
    }
  }

  /** The same cell for the same labels, as long as the set lives. */
  value(name: string, labels: Labels): ValueCell {
    return this.#value(name, labelText(labels));
  }

  histogram(name: string, labels: Labels): HistogramCell {
    return this.#histogram(name, labelText(labels));
  }

  add(name: string, labels: Labels, amount = 1): void {
    this.value(name, labels).add(amount);
  }

  set(name: string, labels: Labels, value: number): void {
    this.value(name, labels).set(value);
  }

  /** Forgets all values of a gauge: what is not set again has none. */
  clear(name: string): void {
    this.#values.delete(name);
  }

  observe(name: string, labels: Labels, value: number): void {
    this.histogram(name, labels).observe(value);
  }

  /** What has come since the last call; this set is empty afterwards. */
  takeDeltas(): MetricDeltas {
    const deltas: MetricDeltas = { values: {}, histograms: {} };
    for (const [name, key, cell] of touchedIn(this.#values)) {
      deltas.values[name] ??= {};
      deltas.values[name][key] = cell.value;
      cell.value = 0;
      cell.touched = false;
    }
    for (const [name, key, cell] of touchedIn(this.#histograms)) {
      deltas.histograms[name] ??= {};
      deltas.histograms[name][key] = { counts: [...cell.counts], sum: cell.sum };
      cell.counts.fill(0);
      cell.sum = 0;
      cell.touched = false;
    }
    return deltas;
  }

  merge(deltas: MetricDeltas): void {
    for (const [name, cells] of Object.entries(deltas.values))
      for (const [key, value] of Object.entries(cells)) this.#value(name, key).add(value);
    for (const [name, cells] of Object.entries(deltas.histograms)) {
      for (const [key, { counts, sum }] of Object.entries(cells)) {
        const cell = this.#histogram(name, key);
        counts.forEach((count, index) => {
          cell.counts[index]! += count;
        });
        cell.sum += sum;
        cell.touched = true;
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
    for (const [key, { value, touched }] of this.#values.get(name) ?? [])
      if (touched) lines.push(`${name}${braces(common, key)} ${value}`);
    for (const [key, cell] of this.#histograms.get(name) ?? [])
      if (cell.touched) lines.push(...this.#renderHistogram(name, common, key, cell));
    return lines.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
  }

  #renderHistogram(
    name: string,
    common: string,
    key: string,
    { bounds, counts, sum }: HistogramCell,
  ): string[] {
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

  #value(name: string, key: string): ValueCell {
    const cells = childMap(this.#values, name);
    let cell = cells.get(key);
    if (cell === undefined) {
      cell = new ValueCell();
      cells.set(key, cell);
    }
    return cell;
  }

  #histogram(name: string, key: string): HistogramCell {
    const cells = childMap(this.#histograms, name);
    let cell = cells.get(key);
    if (cell === undefined) {
      cell = new HistogramCell(this.#bounds.get(name) ?? []);
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

function* touchedIn<Cell extends { touched: boolean }>(
  families: ReadonlyMap<string, ReadonlyMap<string, Cell>>,
): Generator<[name: string, key: string, cell: Cell]> {
  for (const [name, cells] of families)
    for (const [key, cell] of cells) if (cell.touched) yield [name, key, cell];
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
