/** Makes the state directory ready: all its folders exist, belong to us, and can be read by nobody else. */
import { accessSync, chmodSync, constants, lstatSync, mkdirSync } from 'node:fs';
import { PlatformError } from '../contract/errors.ts';
import type { StatePaths } from './config/state-paths.ts';

/** Throws PlatformError `config_invalid` when a folder cannot be made or is not ours. */
export function prepareStateDir(paths: StatePaths): void {
  for (const directory of [paths.root, paths.logDir, paths.engineDir, paths.gatewayDir, paths.socketDir]) {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      accessSync(directory, constants.W_OK | constants.X_OK);
    } catch (error) {
      throw new PlatformError(
        'config_invalid',
        `state directory ${directory} cannot be used: ${(error as Error).message}; change its owner, or set \`state_dir\` or AUTOGLM_STATE_DIR to a directory of yours`,
        { cause: error },
      );
    }
  }
  // In a shared temporary directory somebody else could have made it first, or a link in its place.
  claim(paths.socketDir);
}

function claim(directory: string): void {
  const found = lstatSync(directory);
  const user = process.getuid?.();
  if (!found.isDirectory() || (user !== undefined && found.uid !== user)) {
    throw new PlatformError(
      'config_invalid',
      `${directory} is not a directory of this user; remove it, or set another \`state_dir\``,
    );
  }
  chmodSync(directory, 0o700);
}
