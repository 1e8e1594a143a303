/** Lines of the files that a batch writes, without their ends. The answer of an engine stands in them as it came. */
import { isUtf8 } from 'node:buffer';

export interface AnsweredLine {
  /** Names this line over all batches. */
  id: string;
  customId: string;
  status: number;
  requestId: string;
  body: Buffer;
}

export function answeredLine({ id, customId, status, requestId, body }: AnsweredLine): string {
  const head = `{"id":${JSON.stringify(id)},"custom_id":${JSON.stringify(customId)},"response":{"status_code":${status},"request_id":${JSON.stringify(requestId)},"body":`;
  return `${head}${asJson(body)}},"error":null}`;
}

/** Why a line has no answer. */
export function unansweredLine(
  id: string,
  customId: string,
  error: { code: string; message: string },
): string {
  return JSON.stringify({ id, custom_id: customId, response: null, error });
}

/** JSON on one line; what is no JSON becomes a string, so that the file stays readable. */
function asJson(body: Buffer): string {
  const text = body.toString('utf8');
  if (!isUtf8(body)) return JSON.stringify(text);
  try {
    const value: unknown = JSON.parse(text);
    // Only white space can hold an end of a line in JSON.
    return /[\r\n]/.test(text) ? JSON.stringify(value) : text.trim();
  } catch {
    return JSON.stringify(text);
  }
}
