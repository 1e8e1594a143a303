/** Prometheus text, metric after metric, for engines of ours; every sample carries the same labels. */
import type { HistogramSnapshot } from '../../contract/ports/engine-core.ts';

export class Exposition {
  readonly #lines: string[] = [];
  readonly #label: string;

  /** @param label `name="value"`, or empty. */
  constructor(label = '') {
    this.#label = label;
  }

  gauge(name: string, help: string, value: number): this {
    return this.#head(name, 'gauge', help).sample(name, value);
  }

  counter(name: string, help: string, value: number): this {
    return this.#head(name, 'counter', help).sample(name, value);
  }

  /** A counter with one sample for each value of a label. */
  counters(name: string, help: string, label: string, values: Readonly<Record<string, number>>): this {
    this.#head(name, 'counter', help);
    for (const [key, value] of Object.entries(values)) this.sample(name, value, `${label}="${key}"`);
    return this;
  }

  histogram(name: string, help: string, snapshot: HistogramSnapshot): this {
    this.#head(name, 'histogram', help);
    for (const [index, bound] of snapshot.bounds.entries())
      this.sample(`${name}_bucket`, snapshot.cumulative[index] ?? 0, `le="${bound}"`);
    return this.sample(`${name}_bucket`, snapshot.count, 'le="+Inf"')
      .sample(`${name}_sum`, snapshot.sum)
      .sample(`${name}_count`, snapshot.count);
  }

  sample(name: string, value: number, extraLabel = ''): this {
    const labels = [this.#label, extraLabel].filter((label) => label !== '').join(',');
    this.#lines.push(labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`);
    return this;
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #head(name: string, type: string, help: string): this {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    return this;
  }
}

export function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
