/** Between two lives of a process: the evidence of the one, and how the next one is started differently. */
import type { Remedy } from '../../contract/remedies.ts';
import type { Draft } from './draft.ts';
import type { Replica } from './replica.ts';
import { situationOf } from './situation.ts';

/** How the next start differs from the ones before. */
export function adjust(draft: Draft, replica: Replica, remedy: Remedy): void {
  const { adjustment } = replica;
  if (remedy === 'restart_safer')
    replica.adjustment = { ...adjustment, saferSteps: adjustment.saferSteps + 1 };
  else if (remedy === 'fallback_path') replica.adjustment = { ...adjustment, fallbackPath: true };
  else if (remedy === 'rebuild_elsewhere') {
    const { spareDevice } = situationOf(draft, replica, { class: 'unknown', confidence: 1, gone: true });
    if (spareDevice !== null) replica.adjustment = { ...adjustment, device: spareDevice };
  } else return;
  replica.unwritten = replica.spec.managed && !replica.stray;
  draft.fleetChanged();
}

/** Asks for evidence of a process that is about to be ended; nothing else is done to it meanwhile. */
export function capture(draft: Draft, replica: Replica): void {
  const { process, incident } = replica;
  if (replica.acting !== null || incident === null || process === null) return;
  const { captureMs } = draft.settings;
  const order = { ...captureOf(draft, replica, incident.id), process };
  // An answer that is as late as that is given up.
  replica.acting = { ...draft.order(order, draft.nowMs + 2 * captureMs), kind: 'capture' };
}

/** The same of one that has ended: nothing waits for it. */
export function captureAfterwards(draft: Draft, replica: Replica): void {
  if (replica.incident !== null && replica.spec.managed)
    draft.emit({ ...captureOf(draft, replica, replica.incident.id), process: null });
}

function captureOf({ settings }: Draft, { spec, generation }: Replica, incident: string) {
  return { type: 'capture', replica: spec.id, generation, incident, timeoutMs: settings.captureMs } as const;
}
