/**
 * Port: the bytes of files. In the contract: what was kept is whole and survives a power cut; what was not kept leaves nothing
 * under its id. Not in the contract: that there is room. Methods reject with `storage_full` or `storage_unavailable`
 * then.
 */
export interface StagedFile {
  readonly bytes: number;
  /** From here on `open` finds it, whole. */
  keep(id: string): Promise<void>;
  discard(): Promise<void>;
}

export interface OpenFile {
  readonly bytes: number;
  /** The bytes of [from, to), in pieces; read as fast as they are taken. */
  chunks(from?: number, to?: number): AsyncIterable<Buffer>;
  /** The bytes of [from, from + length); fewer at the end of the file. */
  read(from: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

export interface FileContents {
  /** Takes all bytes to a place of its own and syncs them. Rejects with what `chunks` throws too; nothing is left then. */
  stage(chunks: AsyncIterable<Uint8Array>): Promise<StagedFile>;
  /** Null when there is none. The caller closes it. */
  open(id: string): Promise<OpenFile | null>;
  remove(id: string): Promise<void>;
  /** What was kept and is older than this; what was staged and given up so long ago is removed. */
  sweep(olderThanAtMs: number): Promise<{ id: string; keptAtMs: number }[]>;
}
