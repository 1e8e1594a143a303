/**
 * A source of signals that is not part of the product: GPUs of AMD, as the Linux driver shows them in files. It says how much memory
 * is in use and how busy each GPU is. Needs no program and no rights.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @param {{ nowMs(): number, log(message: string): void, root?: string }} options `root`: another folder, for tests.
 */
export function createSignalSource({ log, root = '/sys/class/drm' }) {
  let told = false;
  return {
    name: 'amd-gpus',
    // It is asked only when the recovery policy wants one of these.
    metrics: ['gpu_memory', 'gpu_utilization'],

    // One look at one engine. It changes nothing, ends when `signal` does, and leaves out what it cannot see.
    async look(subject, signal) {
      // An engine that runs elsewhere has no GPU of this machine.
      if (subject.process === null || signal.aborted) return {};
      const gpus = cardsIn(root).flatMap((card) => gpuOf(join(root, card, 'device'), card));
      if (gpus.length === 0) return { unavailable: [`amd-gpus: no GPU of AMD in ${root}`] };
      if (!told) log(`found ${gpus.length} GPU${gpus.length === 1 ? '' : 's'} of AMD`);
      told = true;
      return { gpus };
    },

    // Called when the supervisor ends. There is nothing to close here.
    close() {},
  };
}

function cardsIn(root) {
  try {
    return readdirSync(root).filter((name) => /^card\d+$/.test(name));
  } catch {
    return [];
  }
}

function gpuOf(folder, card) {
  const totalBytes = numberIn(folder, 'mem_info_vram_total');
  // A display, or a GPU of somebody else.
  if (totalBytes === undefined) return [];
  const usedBytes = numberIn(folder, 'mem_info_vram_used');
  const busyPercent = numberIn(folder, 'gpu_busy_percent');
  return [
    {
      id: card.replace('card', ''),
      name: 'AMD GPU',
      reachable: usedBytes !== undefined,
      totalBytes,
      // What is not known is left out; it is never 0.
      ...(usedBytes !== undefined && { usedBytes, freeBytes: totalBytes - usedBytes }),
      ...(busyPercent !== undefined && { utilizationRatio: busyPercent / 100 }),
    },
  ];
}

function numberIn(folder, file) {
  try {
    const value = Number(readFileSync(join(folder, file), 'utf8').trim());
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
