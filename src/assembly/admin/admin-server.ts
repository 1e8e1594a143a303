/**
 * The admin port: API, metrics, health and the status page over one running system. Every route states its policy, or the
 * server refuses to be built. Errors leave in one JSON shape; what was thrown goes to the log only.
 */
import { createServer } from 'node:http';
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { ADMIN_HEADER } from '../../contract/admin-api.ts';
import { PlatformError } from '../../contract/errors.ts';
import { openAiErrorFrom } from '../../wire/openai/error-object.ts';
import { RELEASE } from '../config/release.ts';
import type { AdminSettings } from '../config/resolve-config.ts';
import { describePortHolder } from '../port-holder.ts';
import type { AdminSystem } from './admin-system.ts';
import { guard, type RoutePolicy } from './guard.ts';
import { addActionRoutes } from './routes-actions.ts';
import { addHealthRoutes } from './routes-health.ts';
import { addIncidentRoutes } from './routes-incidents.ts';
import { addModelRoutes } from './routes-models.ts';
import { addPageRoute } from './routes-page.ts';
import { addStatusRoutes } from './routes-status.ts';
import { addSuspectRoutes } from './routes-suspects.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    policy?: RoutePolicy;
  }
}

export interface AdminServerOptions {
  settings: AdminSettings;
  system: AdminSystem;
  log(level: 'warn' | 'error', message: string, detail: Record<string, unknown>): void;
}

export interface AdminServer {
  /** Rejects with PlatformError `port_in_use`, naming who holds it. */
  listen(): Promise<{ port: number }>;
  /** Stops accepting, lets answers that are being sent end, and cuts idle connections. */
  close(): Promise<void>;
  /** For tests without sockets. */
  readonly app: FastifyInstance;
}

const BODY_BYTES_MAX = 65_536;
const HEADER_BYTES_MAX = 16_384;
/** A pool's name has up to 200 characters, each up to 12 when encoded. */
const PARAMETER_CHARACTERS_MAX = 2_400;
const REQUEST_TIMEOUT_MS = 30_000;

export function createAdminServer(options: AdminServerOptions): AdminServer {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS_MAX },
    forceCloseConnections: 'idle',
    serverFactory: (handler) =>
      createServer(
        { maxHeaderSize: HEADER_BYTES_MAX, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: 10_000 },
        handler,
      ),
  });
  app.addHook('onRoute', ({ method, url, config }) => {
    if (config?.policy === undefined)
      throw new Error(`admin route ${String(method)} ${url} states no policy`);
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      [ADMIN_HEADER]: RELEASE,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    });
    // A path that no route has is refused like one that only reads, so that strangers learn nothing.
    guard(request, request.routeOptions.config.policy ?? 'read', options.settings);
  });
  app.setErrorHandler((thrown, request, reply) => {
    const error = toPlatformError(thrown);
    if (error.code === 'internal') {
      options.log('error', 'an admin request failed', {
        path: request.routeOptions.url,
        error: describe(thrown),
      });
    }
    if (error.retryAfterS !== undefined) reply.header('retry-after', String(error.retryAfterS));
    return reply.status(error.spec.status).send(openAiErrorFrom(error));
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]?.slice(0, 200);
    const error = new PlatformError('not_found', `there is nothing at ${request.method} ${path}`);
    return reply.status(404).send(openAiErrorFrom(error));
  });
  addHealthRoutes(app, options.system);
  addStatusRoutes(app, options.system);
  addActionRoutes(app, options.system);
  addModelRoutes(app, options.system, options.settings);
  addSuspectRoutes(app, options.system);
  addIncidentRoutes(app, options.system);
  addPageRoute(app);

  return {
    app,
    listen: async () => {
      const { host, port } = options.settings;
      try {
        await app.listen({ host, port });
      } catch (error) {
        throw listenError(error as NodeJS.ErrnoException, host, port);
      }
      const address = app.server.address();
      return { port: typeof address === 'object' && address !== null ? address.port : port };
    },
    close: () => app.close(),
  };
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): PlatformError {
  if (error.code !== 'EADDRINUSE') {
    const message = `the admin server cannot listen on ${host}:${port}: ${error.message}; set \`admin.host\` and \`admin.port\``;
    return new PlatformError('config_invalid', message, { cause: error });
  }
  const message = `admin port ${host}:${port} is held by ${describePortHolder(port)}; stop it, or set another \`admin.port\` (0 chooses a free one)`;
  return new PlatformError('port_in_use', message, { cause: error });
}

/** Fastify's own refusals keep their meaning; anything unknown is a bug whose text stays inside. */
function toPlatformError(thrown: unknown): PlatformError {
  if (thrown instanceof PlatformError) return thrown;
  const { code, message, statusCode } = thrown as FastifyError;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new PlatformError('body_too_large', `the body has more than ${BODY_BYTES_MAX} bytes`);
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new PlatformError('unsupported_media_type', 'send `Content-Type: application/json`');
  }
  if (statusCode === 400) return new PlatformError('invalid_request', message);
  return new PlatformError('internal', 'the admin server failed; its log says why', { cause: thrown });
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
