/** Paths as people write them, made absolute. */
import { isAbsolute, join, resolve } from 'node:path';

/** `~` is the home directory, others start at `baseDir`. */
export function locatePath(path: string, { baseDir, homeDir }: { baseDir: string; homeDir: string }): string {
  const home = path === '~' || path.startsWith('~/') ? join(homeDir, path.slice(1)) : path;
  return isAbsolute(home) ? home : resolve(baseDir, home);
}
