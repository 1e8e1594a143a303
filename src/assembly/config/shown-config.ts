/**
 * The configuration in the form that may be shown and kept: of keys their names, of variables theirs, and nothing that looks like a
 * secret in commands and addresses. `autoglm validate` prints it, evidence of incidents holds it.
 */
import { createRedactor } from '../../base/redaction.ts';
import type { ResolvedConfig, ResolvedModel } from './resolve-config.ts';

export function shownConfig(
  { configPath, notHonoured, paths, gateway, admin, supervisor, recovery, signals, evidence }: ResolvedConfig,
  models: readonly ResolvedModel[],
): Record<string, unknown> {
  const { quarantine, redis, fillerKeySha256, ...settings } = gateway;
  const { fingerprintKey, ...suspects } = quarantine ?? { fingerprintKey: '' };
  return createRedactor([]).data({
    configPath,
    notHonoured,
    stateDir: paths.root,
    gateway: {
      ...settings,
      keys: gateway.keys.map(({ name }) => name),
      quarantine: quarantine === undefined ? undefined : suspects,
      redis: redis === null ? null : { ...redis, url: withoutPassword(redis.url) },
    },
    admin: { ...admin, keys: admin.keys.map(({ name }) => name) },
    supervisor,
    recovery: { ...recovery, fallbackEnv: Object.keys(recovery.fallbackEnv) },
    signals,
    evidence,
    models: models.map((model) => ({ ...model, env: Object.keys(model.env) })),
  }) as Record<string, unknown>;
}

/** A password may hold signs by which nothing else would know it for one. */
function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url);
    const had = parsed.username !== '' || parsed.password !== '';
    parsed.username = '';
    parsed.password = '';
    return had ? parsed.href.replace('://', '://[secret]@') : url;
  } catch {
    return '[secret]';
  }
}
