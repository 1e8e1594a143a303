/**
 * Server-sent events, one after the other, from the body of a `fetch` response: the data of each event, and comments, in which
 * the gateway says what it did. Works in Node and in browsers.
 */

export interface StreamPart {
  type: 'data' | 'comment';
  text: string;
}

/** An event larger than this is no answer of a language model. */
const EVENT_CHARACTERS_MAX = 4_194_304;

export async function* readEventStream(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamPart> {
  const decoder = new TextDecoder();
  let pending = '';
  let data: string[] = [];
  for await (const bytes of body) {
    pending += decoder.decode(bytes, { stream: true });
    if (pending.length > EVENT_CHARACTERS_MAX) throw new RangeError('an event of the stream is too long');
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line.startsWith(':')) yield { type: 'comment', text: line.slice(1).trim() };
      else if (line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
      else if (line === '' && data.length > 0) {
        yield { type: 'data', text: data.join('\n') };
        data = [];
      }
    }
  }
}
