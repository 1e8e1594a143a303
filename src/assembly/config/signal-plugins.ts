/**
 * Loads the modules of `signal_sources`. Called by the node process before anything is started, and by `validate`, which shows the
 * place in the configuration. Loading a module runs it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PlatformError } from '../../contract/errors.ts';
import type {
  CreateSignalSource,
  SignalPluginOptions,
  SignalSource,
} from '../../contract/ports/signal-source.ts';
import { PluginSource, sourceFault } from '../../drivers/signals/plugin-source.ts';
import { parseConfigDocument } from './config-document.ts';
import { configError, showProblem } from './config-problem.ts';
import type { ResolvedConfig } from './resolve-config.ts';

/** Names of the sources that are built in; a plug-in has another one. */
export const BUILT_IN_SOURCES = [
  'process-tree',
  'cgroup',
  'host-memory',
  'kernel-log',
  'gpus',
  'containers',
] as const;

/** Throws PlatformError `config_invalid` with a line for each module that is no source. */
export function loadSignalPlugins(
  { configPath, signals }: Pick<ResolvedConfig, 'configPath' | 'signals'>,
  options: SignalPluginOptions,
): SignalSource[] {
  const sources: SignalSource[] = [];
  const taken = new Map<string, string>(BUILT_IN_SOURCES.map((name) => [name, 'a source that is built in']));
  const faults: { index: number; message: string }[] = [];
  for (const [index, file] of signals.plugins.entries()) {
    try {
      const source = loadOne(file, options);
      const other = taken.get(source.name);
      if (other !== undefined)
        throw new Error(`its name "${source.name}" is taken by ${other}; would be right: another name`);
      taken.set(source.name, file);
      sources.push(source);
    } catch (error) {
      faults.push({ index, message: `${file}: ${PlatformError.from(error).message}` });
    }
  }
  if (faults.length === 0) return sources;
  for (const source of sources) source.close();
  const file = configPath ?? '(zero config)';
  const document = parseConfigDocument(file, configPath === null ? '' : readFileSync(configPath, 'utf8'));
  throw configError(
    faults.map(({ index, message }) => {
      const path = ['signal_sources', index];
      return showProblem(file, { path, message }, document.locate(path));
    }),
  );
}

function loadOne(file: string, options: SignalPluginOptions): SignalSource {
  if (!existsSync(file))
    throw new Error('there is no such file; would be right: a module such as ./my-source.mjs');
  const create = creatorIn(requireModule(file));
  let made: unknown;
  try {
    made = create(options);
  } catch (error) {
    throw new Error(`createSignalSource failed: ${messageOf(error)}`);
  }
  const fault = sourceFault(made);
  if (fault !== null) throw new Error(fault);
  return new PluginSource(made as SignalSource);
}

/** At once, so that what is wrong is said before anything is started; so a module must not wait at its top level. */
function requireModule(file: string): Record<string, unknown> {
  try {
    return createRequire(import.meta.url)(file) as Record<string, unknown>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_REQUIRE_ASYNC_MODULE')
      throw new Error('it waits (await) at its top level; do that in `look` instead');
    throw new Error(`it cannot be loaded: ${messageOf(error)}`);
  }
}

function creatorIn(module: Record<string, unknown>): CreateSignalSource {
  const { createSignalSource, default: standard } = module ?? {};
  if (typeof createSignalSource === 'function') return createSignalSource as CreateSignalSource;
  if (typeof standard === 'function') return standard as CreateSignalSource;
  const names = Object.keys(module ?? {});
  const found = names.length === 0 ? 'nothing' : names.join(', ');
  throw new Error(
    `it exports ${found}; would be right: a function \`createSignalSource\`, or one as its default`,
  );
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]?.slice(0, 300) ?? '';
}
