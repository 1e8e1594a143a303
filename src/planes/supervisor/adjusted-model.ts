/** A model as a replica is started after remedies: with safer settings, over the fallback path, or on other devices. */
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';
import type { LaunchAdjustment } from '../../contract/remedies.ts';
import { deviceEnvironment, saferLaunch } from '../../contract/safer-launch.ts';
import type { SupervisedModel } from './supervisor-options.ts';

/** `defaultWindow`: of the engine, where the model does not say how many requests it takes at a time. */
export function adjustedModel(
  model: SupervisedModel,
  { saferSteps, fallbackPath, device }: LaunchAdjustment,
  { policy, defaultWindow }: { policy: RecoveryPolicy; defaultWindow: number | undefined },
): SupervisedModel {
  if (saferSteps === 0 && !fallbackPath && device === 0) return model;
  const devices = model.spareDevices?.[device - 1];
  const env = {
    ...model.env,
    ...(fallbackPath && policy.fallbackEnv),
    ...(devices !== undefined && deviceEnvironment(devices)),
  };
  const { maxSeqLength, args = [] } = model;
  const base = { maxBatchSize: model.maxBatchSize ?? defaultWindow, maxSeqLength, args, env };
  return { ...model, ...saferLaunch(base, model.saferSteps ?? [], saferSteps) };
}
