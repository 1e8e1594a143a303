/**
 * What keeps strangers from the admin API: the Host header (DNS rebinding), the Origin and content type of requests that
 * change something (a web page in the operator's browser), and keys where they are configured.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { PlatformError } from '../../contract/errors.ts';
import { isLoopbackHost } from '../config/loopback.ts';
import type { AdminSettings } from '../config/resolve-config.ts';

/**
 * Policy of a route. `open`: anyone who reaches the port (health, and a page without data); `read`: looks at the system;
 * `act`: changes it.
 */
export type RoutePolicy = 'open' | 'read' | 'act';

/** Throws PlatformError when the request may not pass. */
export function guard(request: FastifyRequest, policy: RoutePolicy, settings: AdminSettings): void {
  checkHost(request, settings);
  if (policy !== 'open' && settings.keys.length > 0) checkKey(request, settings.keys);
  if (policy === 'act') checkIntent(request);
}

/**
 * A page of another site can make a browser send requests here under a name that it has pointed at 127.0.0.1. Where keys are
 * needed that gains nothing, since browsers do not hold them.
 */
function checkHost(request: FastifyRequest, { host, keys }: AdminSettings): void {
  if (keys.length > 0) return;
  const name = hostName(request.headers.host ?? '');
  if (isLoopbackHost(name) || name === host.toLowerCase()) return;
  throw new PlatformError(
    'forbidden',
    `found Host "${shorten(name)}"; would be right: localhost or 127.0.0.1 (a name from outside could be a rebinding attack)`,
  );
}

function hostName(header: string): string {
  return (/^\[[^\]]*\]/.exec(header)?.[0] ?? header.split(':')[0] ?? '').toLowerCase();
}

function checkKey(request: FastifyRequest, keys: AdminSettings['keys']): void {
  const given = request.raw.rawHeaders.filter(
    (name, index) => index % 2 === 0 && /^authorization$/i.test(name),
  );
  if (given.length > 1) {
    throw new PlatformError('invalid_request', `found ${given.length} Authorization headers; send one`);
  }
  const key = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const digest = createHash('sha256')
    .update(key ?? '')
    .digest();
  const known = keys.map(({ sha256 }) => timingSafeEqual(digest, Buffer.from(sha256, 'hex')));
  if (key === undefined || !known.includes(true)) {
    throw new PlatformError('invalid_api_key', 'send `Authorization: Bearer KEY` with one of `admin.keys`');
  }
}

/** A browser sends Origin with what a page makes it send, and a form cannot have the content type of JSON. */
function checkIntent(request: FastifyRequest): void {
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const foreign = origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`;
  if (foreign || site === 'cross-site') {
    throw new PlatformError(
      'forbidden',
      `found Origin "${shorten(origin ?? String(site))}"; requests of other sites are refused`,
    );
  }
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new PlatformError(
      'unsupported_media_type',
      `found Content-Type "${shorten(type ?? '')}"; would be right: application/json`,
    );
  }
}

function shorten(text: string): string {
  return text.slice(0, 100);
}
