/** Can the state directory be written, and is there room? */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Check, type Finding, fail, ok, warn } from './finding.ts';

const MIB = 1024 ** 2;
const FREE_FAIL_BYTES = 64 * MIB;
const FREE_WARN_BYTES = 1024 * MIB;

export const checkStateDir: Check = ({ config: { paths } }) => {
  // What does not exist yet is created in its nearest parent.
  let nearest = paths.root;
  while (!existsSync(nearest) && dirname(nearest) !== nearest) nearest = dirname(nearest);
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
  } catch {
    const remedy = 'change its owner, or set `state_dir` or AUTOGLM_STATE_DIR to a directory of yours';
    return [fail('state directory', `${nearest} cannot be written by this user`, remedy)];
  }
  const found = nearest === paths.root ? paths.root : `${paths.root} (is created at start)`;
  return [ok('state directory', found), checkFree(nearest)];
};

function checkFree(directory: string): Finding {
  const { bavail, bsize } = statfsSync(directory);
  const freeBytes = bavail * bsize;
  const found = `${Math.floor(freeBytes / MIB)} MiB free at ${directory}`;
  const remedy = 'free some space; logs and records of replicas are written there';
  if (freeBytes < FREE_FAIL_BYTES) return fail('disk space', found, remedy);
  return freeBytes < FREE_WARN_BYTES ? warn('disk space', found, remedy) : ok('disk space', found);
}
