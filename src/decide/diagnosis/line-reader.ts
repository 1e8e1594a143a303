/**
 * What one line means, by the rules, markers and samples of an engine. Compiled once, asked for every line.
 *
 * Of several rules that match a line the first root counts, then the first of the others, weak ones last. What stands behind
 * advice is quoted by it and does not count; a fault that ends with advice, as PyTorch's do, stands before it and does.
 */
import { readPattern } from '../../contract/bounded-pattern.ts';
import { type LogKnowledge, type LogRule, type MarkerKind, SAMPLE_FIELDS } from '../../contract/log-rule.ts';
import { createLineFilter } from './line-filter.ts';
import { LINE_CHARACTERS_MAX } from './plain-line.ts';

/** Figures that a line gives about the engine's work; undefined where it does not say. */
export interface WorkFigures {
  running?: number;
  waiting?: number;
  /** 0..1 */
  kvRatio?: number;
  /** Tokens per second, of answers and of prompts together. */
  tokensPerS?: number;
}

export interface LineMeaning {
  rule: LogRule | null;
  markers: readonly MarkerKind[];
  figures: WorkFigures | null;
  /** A process ends, or a stack is shown; alone it says nothing of the cause. */
  speaksOfEnd: boolean;
}

interface Entry {
  pattern: string;
  rule?: LogRule;
  kind?: MarkerKind;
  sample?: true;
}

export type LineReader = (line: string) => LineMeaning;

const NOTHING: LineMeaning = { rule: null, markers: [], figures: null, speaksOfEnd: false };

/** At the beginning of a line: an exception that a logger writes was caught. */
const ENDS: readonly string[] = [
  '^Traceback \\(most recent call last\\)',
  '^\\w{0,60}(Error|Exception): ',
  'terminate called',
  'core dumped',
  'panicked at ',
  'FATAL ERROR',
];

export function createLineReader(knowledge: LogKnowledge): LineReader {
  const known: Entry[] = [
    ...knowledge.rules.map((rule) => ({ rule, pattern: rule.pattern })),
    ...knowledge.markers.map(({ kind, pattern }) => ({ kind, pattern })),
    ...knowledge.samples.map(({ pattern }) => ({ pattern, sample: true as const })),
    ...ENDS.map((pattern) => ({ pattern })),
  ];
  const entries = known.map((entry) => ({ ...entry, regexp: new RegExp(entry.pattern) }));
  const filter = createLineFilter(entries.map(({ pattern }) => readPattern(pattern).literals));
  const found = new Set<number>();
  const note = (entry: number) => void found.add(entry);
  return (line) => {
    const text = line.length > LINE_CHARACTERS_MAX ? line.slice(0, LINE_CHARACTERS_MAX) : line;
    found.clear();
    filter.scan(text, note);
    if (found.size === 0) return NOTHING;
    const rules: MatchedRule[] = [];
    const markers: MarkerKind[] = [];
    let figures: WorkFigures | null = null;
    let speaksOfEnd = false;
    for (const at of [...found].sort((a, b) => a - b)) {
      const entry = entries[at] as (typeof entries)[number];
      const match = entry.regexp.exec(text);
      if (match === null) continue;
      if (entry.rule !== undefined) rules.push({ rule: entry.rule, at: match.index });
      else if (entry.kind !== undefined) markers.push(entry.kind);
      else if (entry.sample) figures ??= figuresIn(match.groups ?? {});
      else speaksOfEnd = true;
    }
    if (markers.includes('quote')) return { ...NOTHING, markers };
    return { rule: foremost(rules), markers, figures, speaksOfEnd };
  };
}

interface MatchedRule {
  rule: LogRule;
  /** Where in the line. */
  at: number;
}

const PRECEDENCE: readonly ((rule: LogRule) => boolean)[] = [
  ({ role, weak }) => role === 'root' && !weak,
  ({ weak }) => !weak,
  () => true,
];

function foremost(matched: readonly MatchedRule[]): LogRule | null {
  const advice = matched.find(({ rule }) => rule.role === 'advice');
  const rules = matched.filter(
    ({ rule, at }) => rule.role !== 'advice' && (advice === undefined || at < advice.at),
  );
  for (const goesFirst of PRECEDENCE) {
    const found = rules.find(({ rule }) => goesFirst(rule));
    if (found !== undefined) return found.rule;
  }
  return advice?.rule ?? null;
}

function figuresIn(groups: Record<string, string | undefined>): WorkFigures {
  const values: Partial<Record<(typeof SAMPLE_FIELDS)[number], number>> = {};
  for (const name of SAMPLE_FIELDS) {
    const value = Number(groups[name]);
    if (groups[name] !== undefined && Number.isFinite(value)) values[name] = value;
  }
  const { running, waiting, kvPercent, kvRatio, generationPerS, promptPerS } = values;
  const ratio = kvRatio ?? (kvPercent === undefined ? undefined : kvPercent / 100);
  const saysSpeed = generationPerS !== undefined || promptPerS !== undefined;
  return {
    ...(running !== undefined && { running }),
    ...(waiting !== undefined && { waiting }),
    ...(ratio !== undefined && { kvRatio: ratio }),
    ...(saysSpeed && { tokensPerS: (generationPerS ?? 0) + (promptPerS ?? 0) }),
  };
}
