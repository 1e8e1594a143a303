/**
 * One batch in the hands of this process: carries out what `decide/batches` asks for, and reports back. Everything it knows is
 * in storage too; when this process dies, another goes on from there.
 *
 * A write that finds the lease lost ends the run at once; nothing it has under way counts any more.
 */
import type { Clock } from '../../../base/clock.ts';
import { opaqueId } from '../../../base/opaque-id.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type {
  BatchChange,
  HeldBatch,
  InputProblem,
  LineAnswer,
} from '../../../contract/ports/batch-store.ts';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { StoredFile } from '../../../contract/ports/file-store.ts';
import type { Stores } from '../../../contract/ports/stores.ts';
import type {
  BatchEffect,
  BatchEnding,
  BatchEvent,
  BatchState,
} from '../../../decide/batches/batch-state.ts';
import { countLines } from '../../../decide/batches/line-ranges.ts';
import { type RecordedBatch, startBatch, step } from '../../../decide/batches/step.ts';
import { readInputLine } from '../../../wire/openai/batch/input-line.ts';
import { answeredLine, unansweredLine } from '../../../wire/openai/batch/output-line.ts';
import { writeErrorFile, writeOutputFile } from './batch-files.ts';
import { type BatchInput, type InputRules, readBatchInput } from './batch-input.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { LineEnd, LineSender } from './line-sender.ts';

export interface BatchRunParts {
  stores: Pick<Stores, 'batches'>;
  contents: FileContents;
  sender: LineSender;
  /** Bytes of requests under way, over all batches. */
  budget: ByteBudget;
  clock: Clock;
  rules: Omit<InputRules, 'endpoint'>;
  log(level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>): void;
}

interface SendParts {
  /** Fires when the attempt is given up; its end is not heard then. */
  signal: AbortSignal;
  /** The bytes of the request are in memory until then. */
  giveBack(): void;
  end(ended: LineEnd, customId?: string): void;
}

interface WrittenFiles {
  /** Null where there was nothing to write. */
  output: StoredFile | null;
  error: StoredFile | null;
  /** Lines without an answer. */
  unanswered: number;
}

/** Attempts that engines may fail: each is several tries of the gateway already. */
const ATTEMPTS_MAX = 3;
/** Times the gateway may vanish under a line, which a gateway that is being replaced does to lines that are innocent. */
const LOSSES_MAX = 10;
const BACKOFF_INITIAL_MS = 500;
const BACKOFF_MAX_MS = 30_000;
/** Storage that does not take a write is asked again after this. */
const STORAGE_RETRY_MS = 500;
/** Answers that one transaction records. */
const RECORD_MAX = 64;
const RECORD_CHARACTERS_MAX = 4_194_304;

export class BatchRun {
  readonly #parts: BatchRunParts;
  readonly #held: HeldBatch;
  readonly #stopped = new AbortController();
  readonly #attempts = new Map<number, AbortController>();
  /** Newest answer of each line that has one. */
  readonly #answers = new Map<number, string>();
  #toRecord: LineAnswer[] = [];
  #recording = false;
  #input: BatchInput | null = null;
  #problems: InputProblem[] = [];
  #written: WrittenFiles | null = null;
  #state: BatchState | null = null;
  /** Changes of status happen in order. */
  #changes: Promise<void> = Promise.resolve();

  constructor(parts: BatchRunParts, held: HeldBatch) {
    this.#parts = parts;
    this.#held = held;
  }

  get id(): string {
    return this.#held.batch.id;
  }

  get hold(): { id: string; fence: number } {
    return { id: this.id, fence: this.#held.fence };
  }

  /** It is over, or no longer ours. */
  get done(): boolean {
    return this.#stopped.signal.aborted;
  }

  start(inFlightMax: number): void {
    this.#watch(this.#begin(inFlightMax));
  }

  async #begin(inFlightMax: number): Promise<void> {
    const { batch } = this.#held;
    const { clock, stores } = this.#parts;
    const answered = await this.#untilStored(() => stores.batches.answered(this.id));
    if (answered === null) return;
    const decision = startBatch({
      status: batch.status as RecordedBatch['status'],
      ending: batch.ending,
      answered,
      expiresAtMs: batch.expiresAtMs,
      inFlightMax,
      nowMs: clock.wallMs(),
      seed: this.#held.fence,
      limits: {
        attemptsMax: ATTEMPTS_MAX,
        lossesMax: LOSSES_MAX,
        backoffInitialMs: BACKOFF_INITIAL_MS,
        backoffMaxMs: BACKOFF_MAX_MS,
      },
    });
    this.#state = decision.state;
    this.#parts.log('info', 'batch taken up', {
      batch: this.id,
      status: batch.status,
      fence: this.#held.fence,
    });
    for (const effect of decision.effects) this.#carryOut(effect);
  }

  hear(event: BatchEvent): void {
    if (this.done || this.#state === null) return;
    try {
      const { state, effects } = step(this.#state, event);
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect);
    } catch (error) {
      this.#endByBug(error);
    }
  }

  /** Ends all that is under way here; what is recorded stays. */
  stop(): void {
    this.#stopped.abort();
    for (const attempt of this.#attempts.values()) attempt.abort();
    this.#attempts.clear();
    void this.#input?.close().catch(() => {});
    this.#input = null;
  }

  #carryOut(effect: BatchEffect): void {
    switch (effect.type) {
      case 'readInput':
        this.#watch(this.#readInput(effect.check));
        return;
      case 'setStatus':
        return this.#setStatus(effect.status);
      case 'send':
        this.#watch(this.#send(effect.line));
        return;
      case 'record':
        return this.#record(effect.line, effect.ok);
      case 'abort':
        for (const line of effect.lines) this.#attempts.get(line)?.abort();
        for (const line of effect.lines) this.#attempts.delete(line);
        return;
      case 'writeFiles':
        return this.#then(() => this.#writeFiles(effect.ending));
      case 'finish':
        return this.#then(() => this.#finish(effect.ending));
    }
  }

  async #readInput(check: boolean): Promise<void> {
    const { contents, rules } = this.#parts;
    const { endpoint, inputFileId } = this.#held.batch;
    const { signal } = this.#stopped;
    const reading = await this.#untilStored(() =>
      readBatchInput(contents, inputFileId, { rules: check ? { ...rules, endpoint } : null, signal }),
    );
    if (reading === null) return;
    if (reading.kind === 'refused') {
      this.#problems = reading.problems;
      return this.hear({ type: 'inputRefused' });
    }
    this.#input = reading.input;
    this.hear({ type: 'inputRead', lines: reading.input.lines });
  }

  #setStatus(status: 'in_progress' | 'finalizing'): void {
    const ending = this.#state?.ending;
    const total = this.#input?.lines;
    this.#then(() =>
      this.#change({
        status,
        atMs: this.#nowMs(),
        ...(total !== undefined && { total }),
        ...(status === 'finalizing' && ending !== null && ending !== undefined && { ending }),
      }),
    );
  }

  async #send(line: number): Promise<void> {
    const attempt = new AbortController();
    this.#attempts.set(line, attempt);
    const { signal } = attempt;
    const end = (ended: LineEnd, customId = '') => {
      if (signal.aborted) return;
      this.#attempts.delete(line);
      this.#answers.set(line, lineText(customId, ended));
      this.hear({ type: 'lineEnded', line, result: ended.result });
    };
    let giveBack = () => {};
    let text: Buffer | undefined;
    try {
      giveBack = await this.#parts.budget.take(this.#input?.bytesOf(line) ?? 0, signal);
      text = await this.#input?.read(line);
    } catch (error) {
      giveBack();
      if (signal.aborted) return;
      const problem = String(error);
      this.#parts.log('warn', 'a line of a batch could not be read', { batch: this.id, line, problem });
      return end({ result: { kind: 'refused' }, error: { code: 'not_read', message: problem } });
    }
    if (text === undefined || signal.aborted) return giveBack();
    signal.addEventListener('abort', giveBack);
    this.#sendText(text, { signal, giveBack, end });
  }

  #sendText(text: Buffer, { signal, giveBack, end }: SendParts): void {
    const { endpoint, owner } = this.#held.batch;
    const read = readInputLine(text, endpoint);
    if ('problem' in read) {
      // It was in order when the batch was checked: the disk gave back something else.
      const { code, message } = read.problem;
      giveBack();
      return end({ result: { kind: 'failed' }, error: { code, message } });
    }
    const request = { path: endpoint, body: read.body, owner, requestId: opaqueId('req_') };
    const sent = this.#parts.sender.send(request, (ended) => {
      giveBack();
      end(ended, read.customId);
    });
    signal.addEventListener('abort', () => sent.abort());
  }

  #record(line: number, ok: boolean): void {
    const text = this.#answers.get(line);
    if (text === undefined) throw new RangeError(`line ${line} of batch ${this.id} has no answer to record`);
    this.#answers.delete(line);
    this.#toRecord.push({ line, ok, text });
    this.#watch(this.#recordAll());
  }

  /** Several answers that came while the last were being recorded go together. */
  async #recordAll(): Promise<void> {
    if (this.#recording) return;
    this.#recording = true;
    while (this.#toRecord.length > 0 && !this.done) {
      const answers = this.#takeToRecord();
      const held = await this.#untilStored(() => this.#parts.stores.batches.record(this.hold, answers));
      if (held === null) break;
      if (!held) {
        this.#lose();
        break;
      }
      for (const { line } of answers) this.hear({ type: 'lineRecorded', line });
    }
    this.#recording = false;
  }

  #takeToRecord(): LineAnswer[] {
    let characters = 0;
    const beyond = this.#toRecord.findIndex(({ text }, index) => {
      characters += text.length;
      return index > 0 && (index >= RECORD_MAX || characters > RECORD_CHARACTERS_MAX);
    });
    return this.#toRecord.splice(0, beyond < 0 ? this.#toRecord.length : beyond);
  }

  /** One file after the other: what is kept is not written again when there is no room for the next. */
  async #writeFiles(ending: BatchEnding): Promise<void> {
    const { batch } = this.#held;
    const { contents, stores } = this.#parts;
    const ids = { output: opaqueId('file-'), error: opaqueId('file-') };
    // Storage may take no write for longer than bytes that nothing names are left alone.
    const held = await this.#untilStored(() => stores.batches.reserveFiles(this.hold, ids));
    if (held === false) this.#lose();
    const answered = await this.#untilStored(() => stores.batches.answered(this.id));
    if (answered === null) return;
    const parts = { contents, stores, nowMs: this.#nowMs() };
    const input = this.#input;
    const output = await this.#untilStored(() => writeOutputFile(parts, batch, ids.output));
    const error = await this.#untilStored(() =>
      writeErrorFile(parts, batch, { id: ids.error, ending, input, answered }),
    );
    if (this.done) return;
    const unanswered = Math.max(0, (input?.lines ?? 0) - countLines(answered));
    this.#written = { output, error, unanswered };
    this.hear({ type: 'filesWritten' });
  }

  async #finish(ending: BatchEnding): Promise<void> {
    if (this.#written === null) throw new RangeError(`batch ${this.id} ends before its files are written`);
    const { output, error, unanswered } = this.#written;
    await this.#change({
      status: ending,
      atMs: this.#nowMs(),
      outputFileId: output?.id ?? null,
      errorFileId: error?.id ?? null,
      // What a batch has earned is kept, whatever all files together may have.
      files: [output, error].filter((file) => file !== null),
      unanswered,
      problems: this.#problems,
      ...(this.#input !== null && { total: this.#input.lines }),
    });
    if (!this.done) this.#parts.log('info', 'batch over', { batch: this.id, ending });
    this.stop();
  }

  async #change(change: BatchChange): Promise<void> {
    const held = await this.#untilStored(() => this.#parts.stores.batches.change(this.hold, change));
    if (held === false) this.#lose();
  }

  #then(work: () => Promise<void>): void {
    this.#changes = this.#changes.then(work);
    this.#watch(this.#changes);
  }

  #watch(work: Promise<void>): void {
    work.catch((error) => this.#endByBug(error));
  }

  /** The process, which has engines to look after, goes on; the lease runs out, and the batch is taken up anew. */
  #endByBug(error: unknown): void {
    if (this.done) return;
    this.#parts.log('error', 'a bug ends the run of a batch; it is taken up again', {
      batch: this.id,
      error: error instanceof Error ? error.stack : String(error),
    });
    this.stop();
  }

  #lose(): void {
    this.#parts.log('warn', 'the lease of a batch was lost; another process runs it', { batch: this.id });
    this.stop();
  }

  /** Repeats until storage has done it; null when the run ends first. */
  async #untilStored<T>(work: () => Promise<T>): Promise<T | null> {
    for (let turn = 0; !this.done; turn++) {
      try {
        return await work();
      } catch (thrown) {
        if (this.done) return null;
        const error = PlatformError.from(thrown);
        if (error.code !== 'storage_unavailable' && error.code !== 'storage_full') {
          this.#endByBug(error);
          return null;
        }
        if (turn === 0)
          this.#parts.log('warn', 'a batch waits for storage', { batch: this.id, problem: error.message });
        await this.#parts.clock.sleep(STORAGE_RETRY_MS, this.#stopped.signal).catch(() => {});
      }
    }
    return null;
  }

  #nowMs(): number {
    return Math.floor(this.#parts.clock.wallMs());
  }
}

function lineText(customId: string, end: LineEnd): string {
  const id = opaqueId('batch_req_');
  return 'answer' in end
    ? answeredLine({ id, customId, ...end.answer })
    : unansweredLine(id, customId, end.error);
}
