/**
 * What the living node process says about itself, in `<state_dir>/node.json`. Written by the node process when it listens,
 * removed when it ends on request, so a record without its process means: it died. Read by the launcher and by the CLI.
 */
import { readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { replaceFileSync } from '../../drivers/storage/whole-file.ts';

const nodeRecordSchema = z.object({
  pid: z.number().int().positive(),
  startTicks: z.number().int().min(0),
  release: z.string(),
  startedAtMs: z.number(),
  configPath: z.string().nullable(),
  /** Origins that reach the servers from this machine; null until they listen. */
  gatewayAddress: z.string().nullable(),
  adminAddress: z.string().nullable(),
});

export type NodeRecord = z.infer<typeof nodeRecordSchema>;

/** Null when there is none, or one that no release of ours wrote. */
export function readNodeRecord(path: string): NodeRecord | null {
  try {
    return nodeRecordSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null;
  }
}

/** A reader sees the old record or the new one, never half of one. */
export function writeNodeRecord(path: string, record: NodeRecord): void {
  replaceFileSync(path, `${JSON.stringify(record, null, 2)}\n`);
}

/** A record that stays, on a read-only disk, names a process that is gone: readers find out by its start time. */
export function removeNodeRecord(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Ending in order is worth more than tidiness.
  }
}
