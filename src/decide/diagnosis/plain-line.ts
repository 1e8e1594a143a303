/**
 * What an engine said, without what others put around it: colours, the JSON of a logger or of Docker, the stamps of containerd,
 * Compose and kubectl. Patterns then meet the same text wherever the log was kept.
 */
/** Longer lines are dumps; what is known of them stands at their beginning. */
export const LINE_CHARACTERS_MAX = 4_096;

const ESCAPE_SEQUENCES = /\p{Cc}\[[0-9;?]{0,20}[A-Za-z]/gu;
const CRI_PREFIX = /^\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) std(?:out|err) [FP] /;
const COMPOSE_PREFIX = /^[\w.-]{1,80} {1,40}\| /;
const KUBECTL_PREFIX = /^\[pod\/[\w./-]{1,200}\] /;

export function plainLine(line: string): string {
  let text = line.length > LINE_CHARACTERS_MAX ? line.slice(0, LINE_CHARACTERS_MAX) : line;
  if (text.includes('\u001b')) text = text.replaceAll(ESCAPE_SEQUENCES, '');
  const first = text[0];
  if (first === '{') text = messageIn(text);
  else if (first === '[') text = text.replace(KUBECTL_PREFIX, '');
  else if (text.includes(' | ')) text = text.replace(COMPOSE_PREFIX, '');
  if (text.includes(' std')) text = text.replace(CRI_PREFIX, '');
  return text.trimEnd();
}

/** Of a log that is written as JSON, the message alone; a line that is an event of ours stays whole. */
function messageIn(line: string): string {
  try {
    const { log, message, msg, error, fields } = JSON.parse(line) as Record<string, unknown>;
    const inner = (fields as { message?: unknown } | undefined | null)?.message;
    const text = [log, message, msg, error, inner].find((value) => typeof value === 'string' && value !== '');
    return typeof text === 'string' ? text : line;
  } catch {
    return line;
  }
}
