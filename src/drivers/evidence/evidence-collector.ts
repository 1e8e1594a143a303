/**
 * Takes a bundle of evidence: all parts at once, under one deadline. A part that is slow, broken or not to be had costs the others
 * nothing; what there is of it when the time is over is kept. Nothing here throws: an engine waits for its end meanwhile.
 */
import { relative } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { createRedactor, type Redactor } from '../../base/redaction.ts';
import type { EvidenceManifest, EvidencePart, EvidenceSettings } from '../../contract/evidence.ts';
import type { EvidenceBundle } from '../../contract/incident-report.ts';
import type { EvidenceCollector, EvidenceMaterial, EvidenceSubject } from '../../contract/ports/evidence.ts';
import { BundleFolders } from './bundle-folders.ts';
import { takeLog, takeMetrics } from './engine-parts.ts';
import { machineFacts, takeGpu, takeMemory } from './machine-parts.ts';
import { NotThere, PartText } from './part-text.ts';
import { describeProcesses, type ProcessTable, treeOf } from './process-tree.ts';
import { dataWithoutPrompts, withoutPrompts } from './prompts.ts';
import { takeStacks } from './stacks.ts';

export interface EvidenceOptions {
  settings: EvidenceSettings;
  clock: Clock;
  stateDir: string;
  /** In it: a folder for each incident. */
  directory: string;
  processes: ProcessTable;
  /** Where programs are looked for. */
  path: string;
  /** Name or path of nvidia-smi. */
  gpuProgram: string;
  /** Its bundles stay. */
  isOpen(incident: string): boolean;
  log(level: 'warn', message: string, detail: Record<string, unknown>): void;
}

interface Part {
  name: EvidencePart;
  file: string;
  bytesMax: number;
  take(text: PartText, signal: AbortSignal): Promise<void> | void;
}

/** One capture. */
interface Run {
  signal: AbortSignal;
  /** Resolves when it is aborted. */
  over: Promise<void>;
  takenAtMs: number;
  tookMs(): number;
  /** A part of it is on disk. */
  isSaved: boolean;
}

type PartResult = EvidenceManifest['parts'][number];

/** Kept for writing what was gathered when the time is over. */
const WRITE_MS = 150;
const UNSAVED_MAX = 50;
const KIB = 1024;

export class LocalEvidence implements EvidenceCollector {
  readonly #options: EvidenceOptions;
  readonly #folders: BundleFolders;
  /** Of bundles that the disk did not take, newest last. */
  readonly #unsaved: EvidenceManifest[] = [];
  #isPruning = false;

  constructor(options: EvidenceOptions) {
    this.#options = options;
    const { settings, directory, isOpen } = options;
    const { bytesMax, bundlesMax } = settings;
    this.#folders = new BundleFolders({ directory, bytesMax, bundlesMax, isOpen });
  }

  async capture(
    subject: EvidenceSubject,
    material: EvidenceMaterial,
    signal: AbortSignal,
  ): Promise<{ folder: string | null; tookMs: number }> {
    const { clock, settings } = this.#options;
    const beganMs = clock.monotonicMs();
    const takenAtMs = clock.wallMs();
    const tookMs = () => Math.round(clock.monotonicMs() - beganMs);
    const own = AbortSignal.timeout(Math.max(1, settings.deadlineMs - WRITE_MS));
    const signalOver = AbortSignal.any([signal, own]);
    const run: Run = { signal: signalOver, over: whenAborted(signalOver), takenAtMs, tookMs, isSaved: false };
    const writing = this.#take(subject, material, run).finally(() => this.#prune());
    // Whatever hangs, a disk included: nobody waits longer.
    await Promise.race([writing, run.over.then(() => clock.sleep(WRITE_MS))]);
    const folder = run.isSaved ? relative(this.#options.stateDir, this.#folders.of(subject.incident)) : null;
    return { folder, tookMs: tookMs() };
  }

  async bundles(incident: string): Promise<EvidenceBundle[]> {
    const unsaved = this.#unsaved
      .filter((manifest) => manifest.incident === incident)
      .map((manifest) => ({ path: null, manifest }));
    return [...(await this.#folders.read(incident)), ...unsaved].sort(
      (a, b) => a.manifest.takenAtMs - b.manifest.takenAtMs,
    );
  }

  forget(incident: string): Promise<void> {
    return this.#folders.forget(incident);
  }

  async #take(subject: EvidenceSubject, material: EvidenceMaterial, run: Run): Promise<void> {
    const { incident, replica, generation, engine } = subject;
    const { takenAtMs } = run;
    const about = { format: 1 as const, incident, replica, generation, engine, takenAtMs };
    let folder: string | null = null;
    let problem = '';
    try {
      folder = await this.#folders.begin(incident);
      if (folder === null) {
        run.isSaved = true;
        return;
      }
    } catch (error) {
      problem = diskText(error);
    }
    const parts = this.#parts(subject, material);
    const results = await Promise.all(parts.map((part) => this.#takePart(part, { folder, problem, run })));
    const manifest = { ...about, tookMs: run.tookMs(), parts: results };
    try {
      if (folder !== null && run.isSaved) return await this.#folders.finish(folder, manifest);
    } catch {
      // Without it the parts are there all the same, and what is remembered says what they are.
    }
    this.#remember(manifest);
    if (folder !== null && !run.isSaved) await this.#folders.drop(folder);
    this.#options.log('warn', 'evidence could not be written', {
      ...{ incident, replica },
      error: problem || (results.find(({ why }) => why !== null)?.why ?? 'the disk took nothing'),
    });
  }

  async #takePart(
    part: Part,
    { folder, problem, run }: { folder: string | null; problem: string; run: Run },
  ): Promise<PartResult> {
    const { name, file } = part;
    const text = new PartText(part.bytesMax);
    let why: string | null = null;
    try {
      const taking = Promise.resolve(part.take(text, run.signal));
      // What is still under way has nobody any more to tell of its end.
      taking.catch(() => {});
      const inTime = await Promise.race([taking.then(() => true), run.over.then(() => false)]);
      if (!inTime) why = 'the time was over';
    } catch (error) {
      why = error instanceof NotThere ? error.message : `it could not be taken: ${String(error)}`;
    }
    const missing = (reason: string): PartResult => ({
      ...{ name, state: 'missing', file: null, bytes: 0 },
      why: reason,
    });
    if (text.isEmpty) return missing(why ?? 'there was nothing');
    if (folder === null) return missing(problem);
    if (text.isFull) why ??= `only the first ${Math.round(part.bytesMax / KIB)} KiB are kept`;
    const content = text.toString();
    try {
      await this.#folders.write(folder, file, content);
    } catch (error) {
      return missing(diskText(error));
    }
    run.isSaved = true;
    const state = why === null ? 'taken' : 'partly';
    return { name, file, why, state, bytes: Buffer.byteLength(content) };
  }

  #parts(subject: EvidenceSubject, material: EvidenceMaterial): Part[] {
    const { processes, path, gpuProgram, settings } = this.#options;
    const { prompts } = settings;
    const redactor = createRedactor(material.secrets);
    const tree = treeOf(subject, processes);
    const needsTree = () => {
      if (tree.length === 0)
        throw new NotThere(
          subject.process === null
            ? 'none of its processes is left, or they are on another machine'
            : 'its process has ended meanwhile',
        );
    };
    const json = (value: unknown) => `${JSON.stringify(shown(value, redactor, prompts), null, 1)}\n`;
    return [
      {
        ...{ name: 'signals', file: 'signals.json', bytesMax: 2048 * KIB },
        take: (text) => {
          if (material.signals === null || material.signals === undefined)
            throw new NotThere('nothing was observed of this start');
          text.add(json(material.signals));
        },
      },
      {
        ...{ name: 'log', file: 'engine.log', bytesMax: 512 * KIB },
        take: (text, signal) => takeLog(subject, { text, redactor, signal }, { prompts }),
      },
      {
        ...{ name: 'stacks', file: 'stacks.txt', bytesMax: 2048 * KIB },
        take: (text, signal) => {
          needsTree();
          return takeStacks(tree, { text, redactor, path, signal });
        },
      },
      {
        ...{ name: 'metrics', file: 'metrics.txt', bytesMax: 1024 * KIB },
        take: (text, signal) => takeMetrics(subject, { text, redactor, signal }),
      },
      {
        ...{ name: 'requests', file: 'requests.json', bytesMax: 1024 * KIB },
        take: async (text) => {
          const requests = await material.requests();
          text.add(json(prompts ? requests : dataWithoutPrompts(requests)));
        },
      },
      {
        ...{ name: 'configuration', file: 'configuration.json', bytesMax: 512 * KIB },
        take: (text) => text.add(json(material.configuration)),
      },
      {
        ...{ name: 'gpu', file: 'gpu.txt', bytesMax: 512 * KIB },
        take: (text, signal) => takeGpu(text, { redactor, program: gpuProgram, path, signal }),
      },
      {
        ...{ name: 'processes', file: 'processes.txt', bytesMax: 256 * KIB },
        take: (text, signal) => {
          needsTree();
          return describeProcesses(tree, { text, redactor, signal });
        },
      },
      {
        ...{ name: 'memory', file: 'memory.txt', bytesMax: 128 * KIB },
        take: (text) => takeMemory(subject, text),
      },
      {
        ...{ name: 'node', file: 'node.json', bytesMax: 64 * KIB },
        take: (text) => text.add(json({ ...machineFacts(), ...material.node })),
      },
    ];
  }

  #remember(manifest: EvidenceManifest): void {
    this.#unsaved.push(manifest);
    if (this.#unsaved.length > UNSAVED_MAX) this.#unsaved.shift();
  }

  /** In the background, one at a time. */
  async #prune(): Promise<void> {
    if (this.#isPruning) return;
    this.#isPruning = true;
    try {
      await this.#folders.prune();
    } catch (error) {
      this.#options.log('warn', 'old evidence could not be deleted', { error: diskText(error) });
    } finally {
      this.#isPruning = false;
    }
  }
}

function shown(value: unknown, redactor: Redactor, prompts: boolean): unknown {
  const redacted = redactor.data(value);
  return prompts ? redacted : linesWithoutPrompts(redacted);
}

/** Lines of logs stand in signals, too. */
function linesWithoutPrompts(value: unknown): unknown {
  if (typeof value === 'string') return withoutPrompts(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(linesWithoutPrompts);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, linesWithoutPrompts(item)]));
}

function diskText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return 'the disk is full: free space in the state directory, or lower `evidence.bytes_max`';
  if (code === 'EROFS') return 'the state directory is read-only';
  return message ?? String(error);
}

/** A moment later, so that who listens to the same signal has given what it has. */
function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const soon = () => setImmediate(resolve);
    if (signal.aborted) soon();
    else signal.addEventListener('abort', soon, { once: true });
  });
}
