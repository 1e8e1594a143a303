/**
 * One canonical form of a request target and headers, before anything routes or authorizes by them. What two parsers could
 * read differently is refused here, so that router, policy and upstream can not disagree (security checklist 4.6).
 */
export interface CanonicalTarget {
  path: string;
  /** Without the question mark. */
  query: string;
}

export type Refusal = { refused: string };

/** Splits and checks a request target in origin form, or in absolute form for our own host. */
export function canonicalTarget(rawTarget: string, host: string | undefined): CanonicalTarget | Refusal {
  let target = rawTarget;
  if (/^https?:\/\//i.test(target)) {
    const authority = target.slice(target.indexOf('//') + 2).split(/[/?#]/, 1)[0] ?? '';
    if (authority.toLowerCase() !== host?.toLowerCase()) {
      return {
        refused: `absolute request target for "${authority}", but the Host header says "${host ?? ''}"`,
      };
    }
    target = target.slice(target.indexOf(authority) + authority.length) || '/';
  }
  if (!target.startsWith('/'))
    return { refused: `request target "${target.slice(0, 100)}" does not begin with "/"` };
  if (target.includes('#')) return { refused: 'request target contains "#"' };
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (path.includes('//') || path.includes('\\'))
    return { refused: `path "${path.slice(0, 100)}" has empty segments or backslashes` };
  if (/%(?:2f|5c|2e|00)/i.test(withoutSlashesOfNames(path)))
    return { refused: `path "${path.slice(0, 100)}" has an encoded slash, dot or NUL` };
  if (/(?:^|\/)\.{1,2}(?:\/|$)/.test(path))
    return { refused: `path "${path.slice(0, 100)}" has dot segments` };
  return {
    path: path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path,
    query: mark < 0 ? '' : target.slice(mark + 1),
  };
}

/** Names of models contain slashes, which clients encode; such a name is looked up and never becomes a path again. */
function withoutSlashesOfNames(path: string): string {
  return path.startsWith(NAMES_UNDER) ? path.replaceAll(/%2f/gi, '') : path;
}

const NAMES_UNDER = '/v1/models/';

/** Headers of which a second copy changes who the caller is or where the body ends. */
const SINGLE = new Set([
  'host',
  'authorization',
  'x-api-key',
  'content-length',
  'transfer-encoding',
  'content-type',
]);

/**
 * Checks raw headers (name, value, name, value, ...). Returns what is wrong with them, or null.
 */
export function headerFault(rawHeaders: readonly string[], httpVersion: string): string | null {
  let seen: Set<string> | null = null;
  let credentials = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const raw = rawHeaders[i] as string;
    if (raw.includes('_')) return `header name "${raw.slice(0, 60)}" contains "_", which proxies read as "-"`;
    const name = raw.toLowerCase();
    if (!SINGLE.has(name)) continue;
    seen ??= new Set();
    if (seen.has(name)) return `header "${name}" appears more than once`;
    seen.add(name);
    if (name === 'authorization' || name === 'x-api-key') credentials++;
    if (name === 'transfer-encoding') {
      if (httpVersion === '1.0') return 'Transfer-Encoding in an HTTP/1.0 request';
      if ((rawHeaders[i + 1] as string).toLowerCase() !== 'chunked') {
        return `Transfer-Encoding "${(rawHeaders[i + 1] as string).slice(0, 60)}"; only "chunked" is understood`;
      }
    }
  }
  if (credentials > 1) return 'both Authorization and x-api-key; send one';
  return null;
}
