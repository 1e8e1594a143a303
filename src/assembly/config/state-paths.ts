/**
 * Where things lie in the state directory, and a short home for Unix sockets. A socket's path may have about 100 bytes
 * (sun_path), so a deep state directory gets its sockets in a short directory named by a hash.
 */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** sun_path holds 108 bytes on Linux and 104 on macOS, the terminating zero included. */
const SOCKET_PATH_BYTES_MAX = 100;
/** Longest name of a socket that anyone creates in `socketDir`. */
const SOCKET_NAME_BYTES_MAX = 32;

export interface StatePaths {
  readonly root: string;
  /** Tells this installation from others on the machine: 12 hex digits of the hash of `root`. Prefix of every owner tag. */
  readonly instance: string;
  readonly logDir: string;
  readonly nodeLog: string;
  /** What the living node process says about itself. */
  readonly nodeRecord: string;
  /** What was loaded and changed at run time. */
  readonly runtimeModels: string;
  /** Of incidents and their evidence; made with the first one. */
  readonly incidentDir: string;
  readonly engineDir: string;
  /** Who may act on engines and gateways. */
  readonly fenceDir: string;
  readonly gatewayDir: string;
  /** Short enough for Unix sockets. */
  readonly socketDir: string;
  /** Where sockets go when that can not be written. Made when it is needed. */
  readonly spareSocketDir: string;
}

/** `root` must be absolute and canonical, so that two spellings of one directory share locks and records. */
export function statePaths(root: string): StatePaths {
  const instance = createHash('sha256').update(root).digest('hex').slice(0, 12);
  const inside = join(root, 'sockets');
  const outside = join(tmpdir(), `autoglm-${instance}`);
  const fits = Buffer.byteLength(inside) + 1 + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX;
  return {
    root,
    instance,
    logDir: join(root, 'logs'),
    nodeLog: join(root, 'logs', 'node.log'),
    nodeRecord: join(root, 'node.json'),
    runtimeModels: join(root, 'models.json'),
    incidentDir: join(root, 'incidents'),
    engineDir: join(root, 'engines'),
    fenceDir: join(root, 'fence'),
    gatewayDir: join(root, 'gateways'),
    socketDir: fits ? inside : outside,
    spareSocketDir: outside,
  };
}
