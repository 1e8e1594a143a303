/** How the events of a stream are written: the framing, the end, and an error in its midst. vLLM's way is the default. */
import type { PlatformError } from '../../contract/errors.ts';
import { openAiErrorFrom } from '../openai/error-object.ts';
import { sseData } from '../sse/parse-event.ts';

export interface StreamFormat {
  contentType: string;
  event(data: object): string;
  /** After the last event of a whole answer. */
  done: string;
  /** An error after the head was sent, and whatever follows it. */
  failure(error: PlatformError): string;
}

export const OPENAI_STREAM: StreamFormat = {
  contentType: 'text/event-stream; charset=utf-8',
  event: sseData,
  done: 'data: [DONE]\n\n',
  // No [DONE] follows, so no client takes the answer for complete.
  failure: (error) => sseData(openAiErrorFrom(error)),
};
