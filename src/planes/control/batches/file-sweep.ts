/**
 * Takes away files that have expired, and bytes that neither a file nor a batch that is not over names: what a crash left.
 * Bytes that are older than the database stay: it was begun anew because its predecessor was lost, and can not know of them.
 */
import type { Clock } from '../../../base/clock.ts';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { Stores } from '../../../contract/ports/stores.ts';

/** Bytes are kept before their file is added; after this they are not waited for. */
const ORPHAN_AGE_MS = 3_600_000;
const SWEEP_MAX = 200;

export async function sweepFiles({
  stores,
  contents,
  clock,
}: {
  stores: Pick<Stores, 'files'>;
  contents: FileContents;
  clock: Clock;
}): Promise<void> {
  const nowMs = Math.floor(clock.wallMs());
  for (const id of await stores.files.takeExpired({ nowMs, limit: SWEEP_MAX })) await contents.remove(id);
  const begunAtMs = await stores.files.begunAtMs();
  const old = (await contents.sweep(nowMs - ORPHAN_AGE_MS))
    .filter(({ keptAtMs }) => keptAtMs >= begunAtMs)
    .map(({ id }) => id);
  for (let from = 0; from < old.length; from += SWEEP_MAX) {
    const ids = old.slice(from, from + SWEEP_MAX);
    const known = new Set(await stores.files.known(ids));
    for (const id of ids) if (!known.has(id)) await contents.remove(id);
  }
}
