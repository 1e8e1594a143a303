/**
 * Ollama lists a model with its tag and takes it without: `qwen3` is listed as `qwen3:latest`. It may also stand behind
 * `engine: openai`, where nobody has said what it is.
 */
export function isSameWithLatest(listed: string, expected: string): boolean {
  return listed === expected || listed === `${expected}:latest`;
}
