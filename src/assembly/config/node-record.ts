/**
 * What the living node process says about itself, in `<state_dir>/node.json`. Written by the node process when it listens,
 * removed when it ends on request, so a record without its process means: it died. Read by the launcher and by the CLI.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

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
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${record.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

export function removeNodeRecord(path: string): void {
  rmSync(path, { force: true });
}
