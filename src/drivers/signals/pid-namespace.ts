/** Whether process ids that the kernel and its drivers speak of are those that we see: not in a container with ids of its own. */
import { readlinkSync } from 'node:fs';

/** Of the first namespace (PROC_PID_INIT_INO, linux/proc_ns.h). */
const INITIAL = 'pid:[4026531836]';

export function hasHostPids(root = '/proc'): boolean {
  try {
    return readlinkSync(`${root}/self/ns/pid`) === INITIAL;
  } catch {
    return false;
  }
}
