/** What every command is handed: the environment, the terminal, and the way to the running system. */
import type { Environment } from '../assembly/config/environment.ts';
import { readEnvironmentSettings } from '../assembly/config/environment-settings.ts';
import { loadConfig } from '../assembly/config/load-config.ts';
import { localOrigin } from '../assembly/config/loopback.ts';
import { readNodeRecord } from '../assembly/config/node-record.ts';
import { resolveConfig } from '../assembly/config/resolve-config.ts';
import { type AdminClient, createAdminClient } from '../client/admin-client.ts';
import { readAddress } from './address.ts';
import type { Terminal } from './terminal.ts';

export interface CommandContext {
  environment: Environment;
  terminal: Terminal;
  /** Sets the exit code of the program. */
  exit(code: number): void;
}

/** Options that all commands share. */
export interface CommonOptions {
  config?: string;
  json?: boolean;
}

export interface AdminOptions extends CommonOptions {
  adminUrl?: string;
  adminKey?: string;
}

export interface Target {
  url: string;
  key: string | undefined;
}

export interface GatewayOptions extends CommonOptions {
  url?: string;
  key?: string;
}

/**
 * Where the admin API should be: `--admin-url`, else what the running node wrote down, else the configuration. The key:
 * `--admin-key`, else AUTOGLM_ADMIN_KEY, else the first of the configuration.
 */
function findAdmin(options: AdminOptions, environment: Environment): Target {
  const loaded = loadConfig(options.config, environment);
  const named = options.adminKey ?? (environment.variables.AUTOGLM_ADMIN_KEY || undefined);
  // Keys of the configuration are for its own address; another one gets only a key that was named for it.
  if (options.adminUrl !== undefined)
    return { url: readAddress('--admin-url', options.adminUrl), key: named };
  const key = named ?? loaded.config.admin.keys[0]?.key.reveal();
  const { paths, admin } = resolveConfig(loaded);
  const recorded = readNodeRecord(paths.nodeRecord)?.adminAddress;
  return { url: recorded ?? localOrigin(admin.host, admin.port), key };
}

/** Where the gateway should be, found the same way; its key is `--key`, else AUTOGLM_KEY, else one of the configuration. */
export function findGateway(options: GatewayOptions, environment: Environment): Target {
  const loaded = loadConfig(options.config, environment);
  const keys = [
    ...loaded.config.gateway.keys.map(({ key }) => key),
    ...readEnvironmentSettings(environment).keys,
  ];
  const named = options.key ?? (environment.variables.AUTOGLM_KEY || undefined);
  if (options.url !== undefined) return { url: readAddress('--url', options.url), key: named };
  const key = named ?? keys[0]?.reveal();
  const { paths, gateway } = resolveConfig(loaded);
  const recorded = readNodeRecord(paths.nodeRecord)?.gatewayAddress;
  return { url: recorded ?? localOrigin(gateway.host, gateway.port), key };
}

export function connectAdmin(options: AdminOptions, { environment }: CommandContext): AdminClient {
  const { url, key } = findAdmin(options, environment);
  return createAdminClient(key === undefined ? { url } : { url, key });
}
