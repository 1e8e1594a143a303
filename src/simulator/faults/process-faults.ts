/**
 * Faults that need the real process: its end, a child that outlives it, a line in the pretend kernel log. What is printed is written
 * synchronously, because the process may be gone in the next moment.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { FAILURE_LOGS, xidLine } from './failure-logs.ts';
import type { FaultOf } from './fault-script.ts';

const STDERR = 2;

/** Writes lines to the log of the process at once. */
export function printNow(lines: readonly string[]): void {
  for (const line of lines) {
    try {
      writeSync(STDERR, `${line}\n`);
    } catch {
      // A log that is gone or full must not change how the process ends.
    }
  }
}

export function exitByFault(fault: FaultOf<'exit'>): void {
  if (fault.countFile !== undefined && !countExit(fault.countFile, fault.times ?? 1)) return;
  printNow(typeof fault.log === 'string' ? FAILURE_LOGS[fault.log] : (fault.log ?? []));
  if (fault.delayMs > 0) setTimeout(() => endNow(fault), fault.delayMs);
  else endNow(fault);
}

function endNow({ signal, code }: FaultOf<'exit'>): void {
  if (signal === undefined) process.exit(code);
  process.kill(process.pid, signal);
}

/** Whether fewer than `exitsMax` processes ended by this fault so far; counts this one if so. */
function countExit(file: string, exitsMax: number): boolean {
  let exits = 0;
  try {
    exits = Number.parseInt(readFileSync(file, 'utf8'), 10) || 0;
  } catch {
    // No file yet: none has.
  }
  if (exits >= exitsMax) return false;
  writeFileSync(file, `${exits + 1}\n`);
  return true;
}

/** No orphan lives longer than this, whatever becomes of its parent. */
const ORPHAN_LIFE_MAX_MS = 600_000;

/** A child named as vLLM's workers are; it notices the death of its parent and lives on for `outliveMs`. Returns its pid. */
export function spawnOrphan({ outliveMs, ownGroup }: FaultOf<'orphan'>): number | undefined {
  const script = `
    process.title = 'VLLM::EngineCore';
    const parent = ${process.pid};
    process.on('SIGHUP', () => {});
    setTimeout(() => process.exit(), ${ORPHAN_LIFE_MAX_MS});
    const watch = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(watch);
      setTimeout(() => process.exit(), ${outliveMs});
    }, 20);`;
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore', detached: ownGroup });
  child.unref();
  child.on('error', (error) => printNow([`simulator: the orphan could not be started: ${error.message}`]));
  return child.pid;
}

/** `fallbackFile` is that of `--kmsg-file`. */
export function writeXid(fault: FaultOf<'xid'>, fallbackFile: string | undefined): void {
  const file = fault.file ?? fallbackFile;
  if (file === undefined) {
    printNow([`simulator: fault xid ${fault.xid} has no file; give \`file\` or --kmsg-file`]);
    return;
  }
  appendFileSync(file, `${xidLine(fault.xid, process.uptime())}\n`);
}
