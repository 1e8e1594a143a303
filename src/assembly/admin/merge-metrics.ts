/**
 * Joins Prometheus texts of several processes into one: each family keeps one HELP and one TYPE line, and its samples stand
 * together, as the text format demands. Samples differ by a label that each process sets (`gateway`).
 */
export function mergeMetrics(texts: readonly string[]): string {
  const families = new Map<string, { head: string[]; samples: string[] }>();
  for (const text of texts) {
    let current: { head: string[]; samples: string[] } | undefined;
    let fresh = false;
    for (const line of text.split('\n')) {
      const name = /^# HELP (\S+)/.exec(line)?.[1];
      if (name !== undefined) {
        fresh = !families.has(name);
        current = families.get(name) ?? { head: [], samples: [] };
        families.set(name, current);
      }
      if (line === '' || current === undefined) continue;
      if (!line.startsWith('#')) current.samples.push(line);
      else if (fresh) current.head.push(line);
    }
  }
  return [...families.values()].map(({ head, samples }) => `${[...head, ...samples].join('\n')}\n`).join('');
}
