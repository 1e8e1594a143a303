/**
 * Node's compile cache, for a process and its threads: without it every start parses, and in a checkout strips the types of,
 * some hundred files, and what died comes back the later. The entry of a process calls it before it loads anything else.
 */
import { enableCompileCache } from 'node:module';

export function useCompileCache(): void {
  const { directory } = enableCompileCache();
  // A thread has a cache only where this variable names one.
  if (directory !== undefined) process.env.NODE_COMPILE_CACHE ??= directory;
}
