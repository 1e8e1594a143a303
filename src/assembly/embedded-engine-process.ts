/**
 * Entry of the embedded engine's process. Two things must happen before anything else is loaded: libuv's pool gets one thread
 * (see ENGINE_ENVIRONMENT in drivers/engines/embedded/launch.ts, which sets it for processes that the supervisor starts), and the
 * compile cache is on, which saves a good part of the start.
 */
import { useCompileCache } from './compile-cache.ts';

process.env.UV_THREADPOOL_SIZE = '1';
useCompileCache();
const { runEmbeddedEngine } = await import('./embedded-engine.ts');
await runEmbeddedEngine(process.argv.slice(2));
