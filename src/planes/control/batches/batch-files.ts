/**
 * The files that a batch leaves: answers in one, failures and lines without an answer in the other. Written page by page. The
 * bytes are kept here, under ids that the run has reserved; the files become known with the end of the batch, and only if the
 * batch is still ours then.
 */
import { opaqueId } from '../../../base/opaque-id.ts';
import type { BatchEndStatus, StoredBatch } from '../../../contract/ports/batch-store.ts';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { StoredFile } from '../../../contract/ports/file-store.ts';
import type { Stores } from '../../../contract/ports/stores.ts';
import { firstMissing, type LineRanges } from '../../../decide/batches/line-ranges.ts';
import { isRecord } from '../../../wire/json/parse-object.ts';
import { unansweredLine } from '../../../wire/openai/batch/output-line.ts';
import type { BatchInput } from './batch-input.ts';

export interface BatchFilesParts {
  stores: Pick<Stores, 'batches'>;
  contents: FileContents;
  nowMs: number;
}

export interface ErrorFileOptions {
  id: string;
  ending: BatchEndStatus;
  /** Null when the input could not be read. */
  input: BatchInput | null;
  /** Lines of the input that are recorded. */
  answered: LineRanges;
}

const PAGE_BYTES = 4_194_304;

const REASONS: Record<BatchEndStatus, { code: string; message: string }> = {
  expired: {
    code: 'batch_expired',
    message: 'This request could not be executed before the completion window expired.',
  },
  cancelled: {
    code: 'batch_cancelled',
    message: 'The batch was cancelled before this request was executed.',
  },
  failed: { code: 'batch_failed', message: 'The batch failed before this request was executed.' },
  completed: { code: 'not_executed', message: 'This request was not executed.' },
};

/** Null where there is nothing to write; `id` is not taken then. */
export function writeOutputFile(
  parts: BatchFilesParts,
  batch: StoredBatch,
  id: string,
): Promise<StoredFile | null> {
  const filename = `${batch.id}_output.jsonl`;
  return write(parts, batch, { id, filename, lines: recorded(parts, batch.id, true) });
}

/** The same for failures and lines without an answer. */
export function writeErrorFile(
  parts: BatchFilesParts,
  batch: StoredBatch,
  options: ErrorFileOptions,
): Promise<StoredFile | null> {
  const filename = `${batch.id}_error.jsonl`;
  return write(parts, batch, { id: options.id, filename, lines: errorLines(parts, batch.id, options) });
}

async function* recorded({ stores }: BatchFilesParts, id: string, ok: boolean): AsyncGenerator<string> {
  for (let after = -1; ; ) {
    const page = await stores.batches.answers({ id, ok, after, bytesMax: PAGE_BYTES });
    if (page.length === 0) return;
    for (const { text, line } of page) {
      after = line;
      yield text;
    }
  }
}

async function* errorLines(
  parts: BatchFilesParts,
  id: string,
  { input, ending, answered }: ErrorFileOptions,
): AsyncGenerator<string> {
  yield* recorded(parts, id, false);
  if (input === null) return;
  for (let line = firstMissing(answered, 0); line < input.lines; line = firstMissing(answered, line + 1)) {
    yield unansweredLine(opaqueId('batch_req_'), customIdOf(await input.read(line)), REASONS[ending]);
  }
}

/** Lines that were never checked, in a batch that was cancelled early, may be anything. */
function customIdOf(bytes: Buffer): string {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isRecord(value) && typeof value.custom_id === 'string' ? value.custom_id : '';
  } catch {
    return '';
  }
}

async function write(
  { contents, nowMs }: BatchFilesParts,
  { owner, outputTtlMs }: StoredBatch,
  { id, filename, lines }: { id: string; filename: string; lines: AsyncIterable<string> },
): Promise<StoredFile | null> {
  const staged = await contents.stage(paged(lines));
  if (staged.bytes === 0) {
    await staged.discard();
    return null;
  }
  await staged.keep(id);
  return {
    id,
    owner,
    filename,
    purpose: 'batch_output',
    bytes: staged.bytes,
    createdAtMs: nowMs,
    expiresAtMs: outputTtlMs === null ? null : nowMs + outputTtlMs,
  };
}

const PIECE_CHARACTERS = 65_536;

/** Lines joined to pieces that are worth a write. */
async function* paged(lines: AsyncIterable<string>): AsyncGenerator<Buffer> {
  let piece = '';
  for await (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield Buffer.from(piece);
    piece = '';
  }
  if (piece !== '') yield Buffer.from(piece);
}
