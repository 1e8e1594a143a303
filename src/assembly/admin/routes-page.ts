/** The status page at `/`: it holds no data itself, so it needs no key; its script asks the API for everything. */
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { STATUS_PAGE_SCRIPT, STATUS_PAGE_STYLE, statusPageHtml } from './status-page.ts';

const sha256 = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Only the page's own script and style run, and it talks only to its own origin. */
const POLICY = [
  "default-src 'none'",
  `script-src ${sha256(STATUS_PAGE_SCRIPT)}`,
  `style-src ${sha256(STATUS_PAGE_STYLE)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function addPageRoute(app: FastifyInstance): void {
  const html = statusPageHtml();
  app.get('/', { config: { policy: 'open' } }, async (_request, reply) =>
    reply
      .header('content-type', 'text/html; charset=utf-8')
      .header('content-security-policy', POLICY)
      .header('referrer-policy', 'no-referrer')
      .send(html),
  );
}
