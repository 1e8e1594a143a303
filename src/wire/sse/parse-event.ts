/**
 * Reads whole server-sent events out of bytes that end on an event border (see frame-splitter.ts), as the WHATWG
 * specification says: fields, comments, several data lines joined by LF, one leading space of a value dropped, a leading
 * byte order mark ignored. Event ids are left out: they belong to reconnection, which inference streams do not have.
 */

export interface SseEvent {
  /** Absent: "message". */
  event?: string;
  data: string;
}

export interface SseComment {
  /** Without the colon and one space after it. */
  comment: string;
}

/** The events in `text`; blocks without data (comments, keep-alives) are left out. */
export function parseSseEvents(text: string): SseEvent[] {
  return parseSseItems(text).filter((item): item is SseEvent => !('comment' in item));
}

/** Events and comments in `text`, in order; a comment inside an event stands before it. */
export function parseSseItems(text: string): (SseEvent | SseComment)[] {
  const items: (SseEvent | SseComment)[] = [];
  const clean = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  let data: string[] = [];
  let event: string | undefined;
  for (const line of clean.split(/\r\n|\n|\r/)) {
    if (line === '') {
      if (data.length > 0) {
        items.push({
          data: data.join('\n'),
          ...(event !== undefined && { event }),
        });
      }
      data = [];
      event = undefined;
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (colon === 0) items.push({ comment: value });
    else if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
  }
  return items;
}

const DATA_LINE = Buffer.from('\ndata:');

const LF = 0x0a;

/** How many data lines whole events have, without reading them: line ends in JSON are escaped, so text is not mistaken for one. */
export function countDataLines(frames: Buffer): number {
  // "d...:" at the very beginning; no other field of an event has this shape.
  let count = frames[0] === 0x64 && frames[4] === 0x3a ? 1 : 0;
  // The usual read is one event of one line: its first line end is the one before the last byte.
  if (frames.indexOf(LF) === frames.length - 2) return count;
  for (let at = frames.indexOf(DATA_LINE); at >= 0; at = frames.indexOf(DATA_LINE, at + DATA_LINE.length))
    count++;
  return count;
}

/** One event with JSON data, ready to be written. */
export function sseData(json: unknown): string {
  return `data: ${typeof json === 'string' ? json : JSON.stringify(json)}\n\n`;
}
