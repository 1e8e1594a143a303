/** What every command is handed: the environment, the terminal, and the way to the running system. */
import type { Environment } from '../assembly/config/environment.ts';
import { readEnvironmentSettings } from '../assembly/config/environment-settings.ts';
import { loadConfig } from '../assembly/config/load-config.ts';
import { localOrigin } from '../assembly/config/loopback.ts';
import { readNodeRecord } from '../assembly/config/node-record.ts';
import { resolveConfig } from '../assembly/config/resolve-config.ts';
import { type AdminClient, createAdminClient } from '../client/admin-client.ts';
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
}

export interface Target {
  url: string;
  key: string | undefined;
}

/** Where the admin API should be: `--admin-url`, else what the running node wrote down, else the configuration. */
export function findAdmin(options: AdminOptions, environment: Environment): Target {
  const loaded = loadConfig(options.config, environment);
  const key = loaded.config.admin.keys[0]?.key.reveal();
  if (options.adminUrl !== undefined) return { url: options.adminUrl, key };
  const { paths, admin } = resolveConfig(loaded);
  const recorded = readNodeRecord(paths.nodeRecord)?.adminAddress;
  return { url: recorded ?? localOrigin(admin.host, admin.port), key };
}

/** Where the gateway should be, found the same way. */
export function findGateway(options: CommonOptions & { url?: string }, environment: Environment): Target {
  const loaded = loadConfig(options.config, environment);
  const keys = [
    ...loaded.config.gateway.keys.map(({ key }) => key),
    ...readEnvironmentSettings(environment).keys,
  ];
  const key = keys[0]?.reveal();
  if (options.url !== undefined) return { url: options.url.replace(/\/+$/, '').replace(/\/v1$/, ''), key };
  const { paths, gateway } = resolveConfig(loaded);
  const recorded = readNodeRecord(paths.nodeRecord)?.gatewayAddress;
  return { url: recorded ?? localOrigin(gateway.host, gateway.port), key };
}

export function connectAdmin(options: AdminOptions, { environment }: CommandContext): AdminClient {
  const { url, key } = findAdmin(options, environment);
  return createAdminClient(key === undefined ? { url } : { url, key });
}
