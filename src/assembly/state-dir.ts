/**
 * Makes the state directory ready: all its folders exist, belong to us, and can be read by nobody else. What is wrong is
 * returned, not thrown: a launcher refuses what will never do, a node process serves with what there is.
 */
import { accessSync, chmodSync, constants, existsSync, lstatSync, mkdirSync } from 'node:fs';
import { PlatformError } from '../contract/errors.ts';
import type { StatePaths } from './config/state-paths.ts';

interface StateProblem {
  message: string;
  /** The disk is full, read-only or broken. The system serves without it; nothing new is kept. */
  isOfDisk: boolean;
  cause: unknown;
}

const OF_DISK = ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'];

export function prepareStateDir(paths: StatePaths): StateProblem[] {
  const { root, logDir, engineDir, gatewayDir, socketDir } = paths;
  const problems: StateProblem[] = [];
  for (const directory of [root, logDir, engineDir, gatewayDir, socketDir]) {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      accessSync(directory, constants.W_OK | constants.X_OK);
    } catch (error) {
      problems.push(problemOf(paths, directory, error));
      // The folders in it have the same problem.
      if (directory === root) return problems;
    }
  }
  // In a shared temporary directory somebody else could have made it first, or a link in its place.
  try {
    if (existsSync(socketDir)) claim(socketDir);
  } catch (error) {
    problems.push(problemOf(paths, socketDir, error));
  }
  return problems;
}

/** Throws PlatformError `config_invalid` when there is a problem that time does not mend; tells the others. */
export function requireStateDir(paths: StatePaths, complain: (text: string) => void): void {
  const problems = prepareStateDir(paths);
  for (const { message, isOfDisk, cause } of problems)
    if (!isOfDisk) throw new PlatformError('config_invalid', message, { cause });
  for (const { message } of problems) complain(message);
}

function problemOf(paths: StatePaths, directory: string, cause: unknown): StateProblem {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  const found = `state directory ${directory} cannot be used: ${message}`;
  const choose = 'set `state_dir` or AUTOGLM_STATE_DIR to a directory of yours';
  if (!OF_DISK.includes(code)) {
    return { message: `${found}; change its owner, or ${choose}`, isOfDisk: false, cause };
  }
  const remedy = code === 'EROFS' ? 'mount it writable' : 'free space there';
  // Processes work in it, so it must at least be there.
  if (!existsSync(paths.root))
    return { message: `${found}; ${remedy}, or ${choose}`, isOfDisk: false, cause };
  return { message: `${found}; ${remedy}: until then nothing new is kept`, isOfDisk: true, cause };
}

function claim(directory: string): void {
  const found = lstatSync(directory);
  const user = process.getuid?.();
  if (!found.isDirectory() || (user !== undefined && found.uid !== user))
    throw new Error('it is not a directory of this user');
  if ((found.mode & 0o777) !== 0o700) chmodSync(directory, 0o700);
}
