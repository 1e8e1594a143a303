/** A gRPC server over cleartext HTTP/2 (h2c). Used by the simulator, which pretends to be Triton. */
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';

export interface GrpcServer {
  listen(options: { host: string; port: number }): Promise<{ port: number }>;
  /** Cuts all connections, in the middle of what runs. */
  cutConnections(): void;
  /** Accepts nothing more; connections end when their calls have. */
  announceClose(): void;
}

const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

export function createGrpcServer(routes: (router: ConnectRouter) => void): GrpcServer {
  const sessions = new Set<ServerHttp2Session>();
  const handler = connectNodeAdapter({
    routes,
    connect: false,
    grpcWeb: false,
    readMaxBytes: MESSAGE_BYTES_MAX,
  });
  const server: Http2Server = createServer(handler);
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    // A peer that breaks off is its own affair.
    session.on('error', () => {});
  });
  return {
    listen: ({ host, port }) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port }, () => {
          server.off('error', reject);
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    cutConnections: () => {
      for (const session of sessions) session.destroy();
    },
    announceClose: () => {
      server.close();
      for (const session of sessions) session.close();
    },
  };
}
