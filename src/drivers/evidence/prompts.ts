/** Leaves out what clients wrote: in lines of logs, in lists of requests. */

const LEFT_OUT = '[left out]';
/** As engines write it: `prompt: 'Hi`, `text="Hi"`, `input_ids=[1, 2`. What stands behind it in the line goes with it. */
const IN_LINE =
  /\b(prompt|prompts|prompt_token_ids|messages|input_text|input_ids|text|content)(["']?\s{0,4}[:=]\s{0,4})(?:["'[{]).*$/i;
const NAMES = new Set([
  'prompt',
  'prompts',
  'prompt_token_ids',
  'messages',
  'input',
  'inputs',
  'input_ids',
  'text',
  'content',
  'instructions',
  'system',
  'body',
  'tools',
]);
const DEPTH_MAX = 20;

export function withoutPrompts(line: string): string {
  return line.replace(IN_LINE, `$1$2${LEFT_OUT}`);
}

/** Of plain data: values under the names that requests have for them. */
export function dataWithoutPrompts(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return value;
  if (Array.isArray(value)) return value.map((item) => dataWithoutPrompts(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      NAMES.has(name.toLowerCase()) ? LEFT_OUT : dataWithoutPrompts(item, depth + 1),
    ]),
  );
}
