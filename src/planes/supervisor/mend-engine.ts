/**
 * Remedies on an engine that lives: its requests are ended, its caches cleared. Gateways end their attempts first, so that they go
 * on elsewhere and are not answered with an error; the engine is told too, for it may serve others than our gateways.
 */
import type { EngineTarget } from '../../contract/ports/engine-driver.ts';
import type { MendingRemedy } from '../../decide/recovery/recovery-effect.ts';
import { protocolOf } from './fleet-view.ts';
import type { SupervisedModel, SupervisorOptions } from './supervisor-options.ts';

export interface MendSubject {
  replica: string;
  remedy: MendingRemedy;
  model: SupervisedModel;
  url: string;
}

/** Ends by its signal, and does not throw. */
export async function mendEngine(
  { drivers, giveUp }: Pick<SupervisorOptions, 'drivers' | 'giveUp'>,
  { replica, remedy, model, url }: MendSubject,
  signal: AbortSignal,
): Promise<{ ok: boolean; detail: string }> {
  const driver = drivers.get(model.engine);
  const target = engineTarget(model, url);
  const done: string[] = [];
  const failed: string[] = [];
  if (remedy !== 'clear_caches' && giveUp !== undefined) {
    const which = remedy === 'abort_request' ? 'longest' : 'all';
    const ended = await giveUp(replica, which).catch(() => 0);
    done.push(`${ended} ${ended === 1 ? 'request goes' : 'requests go'} on elsewhere`);
  }
  if (remedy === 'clear_queue_and_reset' && driver?.abort !== undefined) {
    const { ok, detail } = await driver.abort(target, 'all', signal);
    (ok ? done : failed).push(`the engine ends all requests: ${detail}`);
  }
  if (remedy !== 'abort_request' && driver?.clearCache !== undefined) {
    const { ok, detail } = await driver.clearCache(target, signal);
    // Requests that have not ended yet keep their part of the cache; that is no failure of the reset.
    if (ok || remedy === 'clear_caches') (ok ? done : failed).push(`caches are cleared: ${detail}`);
  }
  return { ok: failed.length === 0, detail: [...failed, ...done].join('; ') };
}

/** How the engine of a model is spoken to at an address. */
export function engineTarget(model: SupervisedModel, url: string): EngineTarget {
  const { servedModel, engineKey, metricsUrl } = model;
  return {
    url,
    servedModel,
    ...(engineKey !== undefined && { engineKey: engineKey.reveal() }),
    ...protocolOf(model),
    ...(metricsUrl !== undefined && { metricsUrl }),
  };
}
