/** How busy the machine is at this moment, for limits on time: they hold on an idle machine, and are stretched on a busy one. */
import { spawnSync } from 'node:child_process';

/** What starting Node takes on an idle machine with two cores, ms. */
const IDLE_MS = 60;
const TRIES = 3;

/** How many times longer than on an idle machine a process takes to start; at least 1. */
export function machinePace(): number {
  const tookMs = Array.from({ length: TRIES }, () => {
    const beganMs = performance.now();
    spawnSync(process.execPath, ['-e', '']);
    return performance.now() - beganMs;
  });
  return Math.max(1, Math.max(...tookMs) / IDLE_MS);
}
