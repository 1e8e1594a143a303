/**
 * Entry of a process of its own that loads the native part of node-llama-cpp and ends: 0 when it works, else 1 with the
 * reason on standard error. Apart, because native code that crashes must not end the doctor.
 */
import type { getLlama as GetLlama } from 'node-llama-cpp';

try {
  const { getLlama } = (await import('node-llama-cpp')) as { getLlama: typeof GetLlama };
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true });
  await llama.dispose();
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
