/** Which configuration file counts: `--config`, else AUTOGLM_CONFIG, else `./autoglm.yaml`, else none (zero config). */
import { existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { PlatformError } from '../../contract/errors.ts';
import type { Environment } from './environment.ts';

const DEFAULT_FILE_NAMES = ['autoglm.yaml', 'autoglm.yml'] as const;

/** Absolute path, or null for zero config. A file that was named but does not exist is an error, never zero config. */
export function findConfig(fromOption: string | undefined, environment: Environment): string | null {
  const named =
    fromOption !== undefined
      ? { path: fromOption, by: 'on the command line' }
      : environment.variables.AUTOGLM_CONFIG
        ? { path: environment.variables.AUTOGLM_CONFIG, by: 'by AUTOGLM_CONFIG' }
        : undefined;
  if (named !== undefined) {
    const path = isAbsolute(named.path) ? named.path : resolve(environment.workDir, named.path);
    if (!existsSync(path)) {
      throw new PlatformError(
        'config_invalid',
        `${path}: there is no such file (named ${named.by}); give the path of a configuration file, or none for ./autoglm.yaml or zero config`,
      );
    }
    return path;
  }
  for (const name of DEFAULT_FILE_NAMES) {
    const path = resolve(environment.workDir, name);
    if (existsSync(path)) return path;
  }
  return null;
}
