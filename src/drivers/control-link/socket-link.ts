/**
 * ControlLink over a Unix socket: one JSON object a line. Both sides are ours, so a line that is too long or not JSON ends
 * the link.
 */
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { ControlLink, ControlListener } from '../../contract/ports/control-link.ts';

/** A snapshot of some hundred replicas is far below this. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;

/** Listens at `path`; the socket file is readable for its owner only. A stale file of a dead process is replaced. */
export async function listenForLinks<Incoming, Outgoing>(
  path: string,
  onLink: (link: ControlLink<Incoming, Outgoing>) => void,
): Promise<ControlListener> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    onLink(linkOver<Incoming, Outgoing>(socket));
  });
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      rmSync(path, { force: true });
      server.once('error', reject);
      server.listen(path, () => {
        server.off('error', reject);
        chmodSync(path, 0o600);
        resolve();
      });
    });
  await listen();
  return {
    restore: async () => {
      if (existsSync(path)) return;
      // Links that are open stay open.
      server.close();
      await listen();
    },
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Rejects when nobody listens at `path`. */
export function connectLink<Incoming, Outgoing>(path: string): Promise<ControlLink<Incoming, Outgoing>> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(linkOver<Incoming, Outgoing>(socket));
    });
  });
}

function linkOver<Incoming, Outgoing>(socket: Socket): ControlLink<Incoming, Outgoing> {
  let onMessage: (message: Incoming) => void = () => {};
  let onClose: () => void = () => {};
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  socket.on('error', () => {});
  socket.on('close', () => onClose());
  socket.on('data', (chunk: Buffer) => {
    let from = 0;
    for (let at = chunk.indexOf(10, from); at >= 0; at = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...pending, chunk.subarray(from, at)]).toString('utf8');
      pending = [];
      pendingBytes = 0;
      from = at + 1;
      try {
        onMessage(JSON.parse(line) as Incoming);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        socket.destroy();
        return;
      }
    }
    pending.push(chunk.subarray(from));
    pendingBytes += chunk.length - from;
    if (pendingBytes > LINE_BYTES_MAX) socket.destroy();
  });
  return {
    send: (message) => {
      if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
    },
    onMessage: (listener) => {
      onMessage = listener;
    },
    onClose: (listener) => {
      onClose = listener;
      if (socket.destroyed) listener();
    },
    close: () => socket.end(),
  };
}
