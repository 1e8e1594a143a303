/** A model as a replica is started after remedies: with safer settings, over the fallback path, or on other devices. */
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';
import type { LaunchAdjustment } from '../../contract/remedies.ts';
import type { SupervisedModel } from './supervisor-options.ts';

export function adjustedModel(
  model: SupervisedModel,
  { fallbackPath }: LaunchAdjustment,
  policy: RecoveryPolicy,
): SupervisedModel {
  const env = { ...model.env, ...(fallbackPath && policy.fallbackEnv) };
  return { ...model, env };
}
