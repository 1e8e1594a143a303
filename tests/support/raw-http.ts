/** A client that sends just the bytes it is given, and reads until the connection ends or nothing comes any more. */
import { connect } from 'node:net';

export interface RawAnswer {
  /** Of the last answer on the connection; null when none came. */
  status: number | null;
  text: string;
  /** The peer ended or cut the connection. */
  closed: boolean;
}

const QUIET_MS = 150;
const LIMIT_MS = 10_000;

/**
 * `waitMs`: how long silence may last before it counts as no answer; a message that was answered ends sooner, after `quietMs`.
 * Where the server closes the connection after its answer, both may be long.
 */
export function sendRaw(port: number, bytes: Buffer, waitMs = 600, quietMs = QUIET_MS): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    let timer = setTimeout(() => finish(false), waitMs);
    const limit = setTimeout(() => finish(false), LIMIT_MS);
    const finish = (closed: boolean) => {
      clearTimeout(timer);
      clearTimeout(limit);
      socket.destroy();
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((found) => Number(found[1]));
      resolve({ status: statuses.filter((status) => status >= 200).at(-1) ?? null, text, closed });
    };
    socket.on('data', (data) => {
      text += data.toString('latin1');
      clearTimeout(timer);
      timer = setTimeout(() => finish(false), quietMs);
    });
    socket.on('error', () => finish(true));
    socket.on('close', () => finish(true));
    socket.on('end', () => finish(true));
    socket.write(bytes);
  });
}
