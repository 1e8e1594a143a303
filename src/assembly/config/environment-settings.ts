/** Settings that the environment may give beside the file: AUTOGLM_API_KEYS, AUTOGLM_STATE_DIR, PORT, and where Redis is. */
import { isAbsolute, join, resolve } from 'node:path';
import { Secret } from '../../base/secret.ts';
import { configError } from './config-problem.ts';
import type { Environment } from './environment.ts';

/** As for keys in the file. */
const KEY_CHARACTERS_MIN = 8;

export interface EnvironmentSettings {
  /** From AUTOGLM_API_KEYS, comma-separated. */
  keys: Secret[];
  /** From PORT. */
  gatewayPort: number | undefined;
  /** Where records go when the file does not say. */
  defaultStateDir: string;
}

/** Throws PlatformError `config_invalid`; a message names the variable and never its value when that is a key. */
export function readEnvironmentSettings({ variables, homeDir, workDir }: Environment): EnvironmentSettings {
  const keys = (variables.AUTOGLM_API_KEYS ?? '')
    .split(',')
    .map((key) => key.trim())
    .filter((key) => key !== '');
  const short = keys.findIndex((key) => key.length < KEY_CHARACTERS_MIN);
  if (short >= 0) {
    throw configError([
      `environment variable AUTOGLM_API_KEYS: key ${short + 1} of ${keys.length} has ${keys[short]?.length} characters; would be right: keys of at least ${KEY_CHARACTERS_MIN} characters, separated by commas`,
    ]);
  }
  const stateHome = variables.XDG_STATE_HOME || join(homeDir, '.local', 'state');
  const named = variables.AUTOGLM_STATE_DIR;
  return {
    keys: keys.map((key) => new Secret(key)),
    gatewayPort: readPort('PORT', variables.PORT),
    defaultStateDir: named
      ? isAbsolute(named)
        ? named
        : resolve(workDir, named)
      : join(resolve(workDir, stateHome), 'autoglm'),
  };
}

/**
 * From REDIS_URL, or REDIS_HOST and its neighbours; undefined: the environment does not say. Looked at only where Redis is used: the
 * variables may be there for others. Throws PlatformError `config_invalid`.
 */
export function environmentRedisUrl({ variables }: Environment): Secret | undefined {
  const {
    REDIS_URL: url,
    REDIS_HOST: host,
    REDIS_USERNAME: user = '',
    REDIS_PASSWORD: password = '',
  } = variables;
  if (url) {
    if (/^rediss?:\/\/./.test(url) && URL.canParse(url)) return new Secret(url);
    throw configError([
      'environment variable REDIS_URL: found something else than an address; would be right: redis://user:password@host:6379, or rediss:// for TLS',
    ]);
  }
  if (!host) return undefined;
  const port = readPort('REDIS_PORT', variables.REDIS_PORT) ?? 6379;
  const who = password === '' ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
  return new Secret(`redis://${who}${host}:${port}`);
}

function readPort(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= 0 && port <= 65_535) return port;
  throw configError([
    `environment variable ${name}: found ${JSON.stringify(text.slice(0, 80))}; would be right: an integer from 0 to 65535`,
  ]);
}
