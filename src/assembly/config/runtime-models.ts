/**
 * What was changed at run time (`autoglm models ...`), as `<state_dir>/models.json` holds it: models that no file names, and
 * changes to those that one does. Written by the node process alone, whole or not at all; commands that only look read it too.
 * It may hold keys of engines, so it is readable for its owner only.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Rises when an older release could misunderstand the file. */
const FORMAT = 1;
const NAME = z.string().min(1).max(200);

const changeSchema = z.object({
  model_name: NAME,
  /** Hash of the file's entry (`entryHash`) when the change was made: another entry ends the change. */
  entry: z.string(),
  replicas: z.number().int().min(1).optional(),
  unloaded: z.boolean().optional(),
});

const documentSchema = z.object({
  format: z.literal(FORMAT),
  /** As a file would have them, but for names: `aliases` and `adapters` below hold all that was given at run time. */
  models: z.array(z.record(z.string(), z.unknown())),
  changes: z.array(changeSchema),
  aliases: z.array(z.object({ name: NAME, model: NAME })),
  adapters: z.array(z.object({ name: NAME, path: z.string().min(1), model: NAME })),
});

type Document = z.output<typeof documentSchema>;
export type RuntimeModels = Omit<Document, 'format'>;
/** A change to a model of the configuration file. */
export type FileModelChange = z.output<typeof changeSchema>;

export const NO_RUNTIME_MODELS: RuntimeModels = { models: [], changes: [], aliases: [], adapters: [] };

/** `problem`: why the file could not be read; it then counts as empty. No file is no problem. */
export function readRuntimeModels(path: string): { runtime: RuntimeModels; problem: string | null } {
  try {
    const { format: _, ...runtime } = documentSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    return { runtime, problem: null };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { runtime: NO_RUNTIME_MODELS, problem: null };
    const problem = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    return { runtime: NO_RUNTIME_MODELS, problem: problem.split('\n', 1)[0] ?? '' };
  }
}

export function runtimeModelsText(runtime: RuntimeModels): string {
  return `${JSON.stringify({ format: FORMAT, ...runtime } satisfies Document, null, 2)}\n`;
}
