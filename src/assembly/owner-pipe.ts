/**
 * A pipe whose other end only our owner holds, so that its end is the owner's end, however it ended: no signal, no exit code
 * and no polling is needed. Used by the launcher and the node process when a program owns them (`InferenceEngine`).
 */
import { Socket } from 'node:net';

export interface OwnerOptions {
  /** Descriptor of our end of the pipe. */
  fd: number;
  /** The state directory goes with the owner. */
  temporary: boolean;
}

/** `gone` is called once. Nothing is ever sent; what comes all the same is thrown away. */
export function onOwnerGone(fd: number, gone: () => void): void {
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on('error', () => {});
  socket.once('close', gone);
  socket.resume();
  socket.unref();
}
