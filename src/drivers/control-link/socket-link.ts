/**
 * ControlLink over a Unix socket: one JSON object a line. Both sides are ours, so a line that is too long or not JSON ends
 * the link. The folder of a socket must be ours alone: what goes over it includes keys.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { ControlLink, ControlListener } from '../../contract/ports/control-link.ts';

/** A snapshot of some hundred replicas is far below this. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Listens at the first of `paths` where that is possible; the socket file is readable for its owner only. A stale file of a
 * dead process is replaced.
 */
export async function listenForLinks<Incoming, Outgoing>(
  paths: readonly string[],
  onLink: (link: ControlLink<Incoming, Outgoing>) => void,
): Promise<ControlListener> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    onLink(linkOver<Incoming, Outgoing>(socket));
  });
  let current = '';
  const listen = async () => {
    const failures: unknown[] = [];
    for (const path of paths) {
      try {
        await listenAt(server, path);
        current = path;
        return;
      } catch (error) {
        failures.push(error);
      }
    }
    throw failures[0];
  };
  await listen();
  return {
    restore: async () => {
      if (existsSync(current)) return;
      // Links that are open stay open.
      server.close();
      await listen();
    },
    close: () =>
      new Promise((closed) => {
        server.close(() => {
          if (current !== paths[0]) removeEmpty(dirname(current));
          closed();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    requireOurs(dirname(path));
    rmSync(path, { force: true });
    const onListening = () => {
      server.off('error', onError);
      chmodSync(path, 0o600);
      resolve();
    };
    const onError = (error: Error) => {
      server.off('listening', onListening);
      reject(error);
    };
    server.once('error', onError).once('listening', onListening);
    server.listen(path);
  });
}

/** In a shared temporary directory somebody else could have made the folder first, or a link in its place. */
function requireOurs(directory: string): void {
  const found = lstatSync(directory);
  const user = process.getuid?.();
  if (!found.isDirectory() || (user !== undefined && found.uid !== user))
    throw new Error(`${directory} is not a directory of this user`);
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Somebody else uses it, too.
  }
}

/** Rejects when nobody listens at `path`, or somebody else could. */
export function connectLink<Incoming, Outgoing>(path: string): Promise<ControlLink<Incoming, Outgoing>> {
  return new Promise((resolve, reject) => {
    requireOurs(dirname(path));
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
