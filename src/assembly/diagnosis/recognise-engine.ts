/** Whose log it is, by the lines that only one engine prints. */
import type { LogKnowledge } from '../../contract/log-rule.ts';
import { createLineReader } from '../../decide/diagnosis/line-reader.ts';
import { plainLine } from '../../decide/diagnosis/plain-line.ts';
import { LOGGED_ENGINES, type LoggedEngine, readLogRuleFile } from '../../drivers/engines/log-rules.ts';

/** Their logs hold those of the engines that they run, so one line of theirs decides. */
const AROUND_OTHERS: readonly LoggedEngine[] = ['ollama', 'triton'];
/** Lines that say how an engine is doing are its own; a rule may fit by chance. */
const OWN_LINE_VOTES = 3;

/** Null: none of them, or none more than another. */
export function recogniseEngine(lines: readonly string[]): LoggedEngine | null {
  const texts = lines.map(plainLine);
  const votes = LOGGED_ENGINES.map((engine) => ({ engine, votes: votesFor(readLogRuleFile(engine), texts) }));
  const around = votes.find((candidate) => AROUND_OTHERS.includes(candidate.engine) && candidate.votes > 0);
  if (around !== undefined) return around.engine;
  const [first, second] = votes.sort((a, b) => b.votes - a.votes);
  return first === undefined || first.votes === 0 || first.votes === second?.votes ? null : first.engine;
}

function votesFor({ rules, markers, samples }: LogKnowledge, texts: readonly string[]): number {
  const read = createLineReader({ rules, markers, samples });
  let votes = 0;
  for (const text of texts) {
    const { rule, markers: kinds, figures } = read(text);
    if (kinds.length > 0 || figures !== null) votes += OWN_LINE_VOTES;
    else if (rule !== null) votes++;
  }
  return votes;
}
