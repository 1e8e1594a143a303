/**
 * The input of one batch: read once, to check its lines and to know where each stands; then any line can be read again, so
 * that none has to be kept in memory.
 */
import type { InputProblem } from '../../../contract/ports/batch-store.ts';
import type { FileContents, OpenFile } from '../../../contract/ports/file-contents.ts';
import { LineScanner, type ScannedLine } from '../../../wire/jsonl/line-scanner.ts';
import { readInputLine } from '../../../wire/openai/batch/input-line.ts';

export interface InputRules {
  endpoint: string;
  linesMax: number;
  lineBytesMax: number;
  /** Whether any pool serves the model. */
  isKnownModel(model: string): boolean;
}

export type InputReading =
  | { kind: 'read'; input: BatchInput }
  /** The batch fails as a whole. */
  | { kind: 'refused'; problems: InputProblem[] };

/** What is said of a broken input; the rest is left out. */
const PROBLEMS_MAX = 100;

export class BatchInput {
  readonly #file: OpenFile;
  /** Offset and length of each line, by turns. */
  readonly #places: readonly number[];

  constructor(file: OpenFile, places: readonly number[]) {
    this.#file = file;
    this.#places = places;
  }

  get lines(): number {
    return this.#places.length / 2;
  }

  bytesOf(line: number): number {
    return this.#places[2 * line + 1] ?? 0;
  }

  read(line: number): Promise<Buffer> {
    return this.#file.read(this.#places[2 * line] ?? 0, this.bytesOf(line));
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** `rules` null: the lines were found in order before. Rejects with `storage_unavailable`. */
export async function readBatchInput(
  contents: FileContents,
  fileId: string,
  { rules, signal }: { rules: InputRules | null; signal: AbortSignal },
): Promise<InputReading> {
  const file = await contents.open(fileId);
  if (file === null) return refused([problem('file_not_found', `file "${fileId}" does not exist any more`)]);
  const check = rules === null ? null : new InputCheck(rules);
  const scanner = new LineScanner(rules?.lineBytesMax ?? Number.POSITIVE_INFINITY);
  const places: number[] = [];
  const take = (lines: ScannedLine[]) => {
    for (const line of lines) {
      places.push(line.from, line.length);
      check?.line(line);
    }
  };
  try {
    for await (const chunk of file.chunks()) {
      signal.throwIfAborted();
      take(scanner.push(chunk));
      if (check?.enough === true) break;
    }
    take(scanner.end());
  } catch (error) {
    await file.close();
    throw error;
  }
  const problems = check?.end() ?? [];
  if (problems.length === 0) return { kind: 'read', input: new BatchInput(file, places) };
  await file.close();
  return refused(problems);
}

/** Finds what keeps a batch from running. */
class InputCheck {
  readonly #rules: InputRules;
  readonly #problems: InputProblem[] = [];
  /** The line on which each custom_id stands. */
  readonly #customIds = new Map<string, number>();
  readonly #unknownModels = new Map<string, number>();
  #lines = 0;
  #someModelKnown = false;

  constructor(rules: InputRules) {
    this.#rules = rules;
  }

  get enough(): boolean {
    return this.#problems.length >= PROBLEMS_MAX || this.#lines > this.#rules.linesMax;
  }

  line({ number, bytes, length }: ScannedLine): void {
    this.#lines++;
    if (this.enough) return;
    const { endpoint, lineBytesMax, isKnownModel } = this.#rules;
    if (bytes === null) {
      const message = `this line has ${length} bytes; the limit is ${lineBytesMax} bytes`;
      this.#problems.push({ code: 'line_too_long', message, param: null, line: number });
      return;
    }
    const read = readInputLine(bytes, endpoint);
    if ('problem' in read) {
      this.#problems.push({ ...read.problem, line: number });
      return;
    }
    const first = this.#customIds.get(read.customId);
    if (first === undefined) this.#customIds.set(read.customId, number);
    else {
      const message = `custom_id: found ${JSON.stringify(read.customId.slice(0, 80))}, which line ${first} has already`;
      this.#problems.push({ code: 'duplicate_custom_id', message, param: 'custom_id', line: number });
    }
    if (isKnownModel(read.model)) this.#someModelKnown = true;
    else if (this.#unknownModels.size < PROBLEMS_MAX && !this.#unknownModels.has(read.model))
      this.#unknownModels.set(read.model, number);
  }

  end(): InputProblem[] {
    const { linesMax } = this.#rules;
    if (this.#lines > linesMax)
      return [problem('too_many_lines', `the file has more than ${linesMax} lines, the limit`)];
    if (this.#lines === 0) return [problem('empty_file', 'the file has no lines')];
    if (this.#problems.length > 0) return this.#problems.slice(0, PROBLEMS_MAX);
    // A single line with a model that is not served fails alone; with none that is, nothing could be answered.
    if (this.#someModelKnown) return [];
    return [...this.#unknownModels].map(([model, line]) => ({
      code: 'model_not_found',
      message: `body.model: "${model.slice(0, 80)}" is not served here, nor is the model of any other line`,
      param: 'body.model',
      line,
    }));
  }
}

function problem(code: string, message: string): InputProblem {
  return { code, message, param: null, line: null };
}

function refused(problems: InputProblem[]): InputReading {
  return { kind: 'refused', problems };
}
