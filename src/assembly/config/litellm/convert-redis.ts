/**
 * Where LiteLLM finds its Redis, to `redis.url`. There is one Redis here, for the cache and for limits: the first that is written
 * counts. Addresses that LiteLLM reads from REDIS_HOST and its neighbours are read from there by us, too.
 */
import type { ConfigInput } from '../../../contract/config-schema.ts';
import { textFrom } from '../../../wire/json/scalars.ts';
import type { LocatedMap } from './located.ts';
import type { NotHonoured } from './not-honoured.ts';
import type { References } from './references.ts';

export interface RedisKeys {
  url: string;
  host: string;
  port: string;
  username: string;
  password: string;
  ssl: string;
}

export const ROUTER_REDIS: RedisKeys = {
  url: 'redis_url',
  host: 'redis_host',
  port: 'redis_port',
  username: 'redis_username',
  password: 'redis_password',
  ssl: 'redis_ssl',
};
export const CACHE_REDIS: RedisKeys = {
  url: 'url',
  host: 'host',
  port: 'port',
  username: 'username',
  password: 'password',
  ssl: 'ssl',
};

/** Variables that are read where the file says nothing. */
const READ_ANYWAY: Partial<Record<keyof RedisKeys, string>> = {
  url: 'os.environ/REDIS_URL',
  host: 'os.environ/REDIS_HOST',
  port: 'os.environ/REDIS_PORT',
  username: 'os.environ/REDIS_USERNAME',
  password: 'os.environ/REDIS_PASSWORD',
};

/** Takes the keys; sets `redis.url` where they say an address that the environment would not. */
export function takeRedis(
  section: LocatedMap,
  keys: RedisKeys,
  { config, references, notes }: { config: ConfigInput; references: References; notes: NotHonoured[] },
): void {
  const names = Object.keys(keys) as (keyof RedisKeys)[];
  const written = Object.fromEntries(
    names.map((name) => [name, textFrom(section.take(keys[name]))]),
  ) as Record<keyof RedisKeys, string>;
  const isTls = written.ssl === 'true';
  const said = names.filter((name) => name !== 'ssl' && written[name] !== '');
  const isRead = said.every((name) => written[name] === READ_ANYWAY[name]) && !isTls;
  // What the section of the file gives is not in the environment of the gateway.
  const isGiven = said.some((name) => references.gives(written[name].slice('os.environ/'.length)));
  // LiteLLM puts its `environment_variables` into the environment before it looks there.
  if (said.length === 0)
    for (const name of names) {
      const variable = READ_ANYWAY[name];
      if (variable !== undefined && references.gives(variable.slice('os.environ/'.length)))
        written[name] = variable;
    }
  const isAsked = names.some((name) => name !== 'ssl' && written[name] !== '');
  if (!isAsked || (said.length > 0 && isRead && !isGiven)) return;
  const url = addressOf(written, isTls, references);
  const place = section.place(keys[written.url === '' ? 'host' : 'url']);
  if (url === null) {
    notes.push({ ...place, reason: 'would be right: an address such as redis://host:6379, or a host' });
  } else if (config.redis?.url !== undefined && config.redis.url !== url) {
    notes.push({ ...place, reason: 'one Redis is used for all; another one is named before' });
  } else {
    config.redis = { ...config.redis, url };
  }
}

function addressOf(
  { url, host, port, username, password }: Record<keyof RedisKeys, string>,
  isTls: boolean,
  references: References,
): string | null {
  if (url !== '') {
    const text = references.text(url);
    return text.startsWith('${') || /^rediss?:\/\/./.test(text) ? text : null;
  }
  if (host === '') return null;
  const who = password === '' ? '' : `${encoded(username, references)}:${encoded(password, references)}@`;
  const at = port === '' ? '6379' : references.text(port);
  return `${isTls ? 'rediss' : 'redis'}://${who}${references.text(host)}:${at}`;
}

/** What only the environment knows must be fit for an address there. */
function encoded(written: string, references: References): string {
  return written.startsWith('os.environ/') ? references.text(written) : encodeURIComponent(written);
}
