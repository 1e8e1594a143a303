/** `docs/reference/errors.md`, from the table of error codes. */
import { ERROR_SPECS } from '../../src/contract/errors.ts';
import { GENERATED_BY, table } from './markdown.ts';

export function errorsPage(): string {
  const rows = Object.entries(ERROR_SPECS).map(
    ([code, { status, type, fault, retryable, meaning, remedy }]) => [
      `\`${code}\``,
      String(status),
      `\`${type}\``,
      fault,
      retryable ? 'yes' : 'no',
      meaning,
      remedy,
    ],
  );
  return [
    `<!-- ${GENERATED_BY} -->`,
    '# Errors',
    '',
    'Every error of gateway and admin API is the OpenAI error object with all four keys: `{"error": {"message", "type", "param", "code"}}`. In a stream it is one `data:` event without `[DONE]` after it. `code` is one of the table; `message` names the thing, the value found and what would have been right. Answers that may be sent again carry `Retry-After` where waiting helps.',
    '',
    table(['code', 'status', 'type', 'whose', 'send again', 'what happened', 'what to do'], rows),
    '',
  ].join('\n');
}
