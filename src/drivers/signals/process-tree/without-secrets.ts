/** A command line is shown and kept; what reads like a key or a password is not. */
const NAMED =
  /((?:api[-_]?key|[-_]key|\bkey|token|password|passwd|secret)\b)(\s*[=:]\s*|\s+)(?!-)(?:(?:bearer|basic)\s+)?\S+/gi;

export function withoutSecrets(command: string): string {
  return command
    .replaceAll(/\b(bearer|basic)\s+\S+/gi, '$1 [secret]')
    .replaceAll(NAMED, '$1$2[secret]')
    .replaceAll(/(:\/\/[^/\s:@]*:)[^/\s@]+@/g, '$1[secret]@');
}
