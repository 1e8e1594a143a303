/**
 * What every thread of some processes does at this moment: state, the place in the kernel at which it waits, and the stack there
 * where that may be read (root only). For the evidence of an incident, taken before the processes are ended. Bounded in bytes, and
 * by the signal; a process that ends meanwhile is left out.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withoutSecrets } from './without-secrets.ts';

export interface ProcessEvidenceOptions {
  signal: AbortSignal;
  /** Default 256 KiB. */
  bytesMax?: number;
  /** Default: /proc. */
  root?: string;
}

const BYTES_MAX = 262_144;
const THREADS_MAX = 200;
const STATUS_KEYS =
  /^(Name|State|Tgid|Pid|PPid|VmPeak|VmRSS|VmSwap|Threads|SigPnd|SigBlk|SigCgt|voluntary_ctxt_switches|nonvoluntary_ctxt_switches):/;

export async function processEvidence(
  pids: readonly number[],
  { signal, bytesMax = BYTES_MAX, root = '/proc' }: ProcessEvidenceOptions,
): Promise<string> {
  const parts: string[] = [];
  let bytes = 0;
  const add = (text: string): boolean => {
    const left = bytesMax - bytes;
    if (left <= 0) return false;
    const kept = text.length > left ? `${text.slice(0, Math.max(0, left - 20))}\n(more was cut)\n` : text;
    parts.push(kept);
    bytes += Buffer.byteLength(kept);
    return bytes < bytesMax;
  };
  for (const pid of pids) {
    if (signal.aborted) break;
    const text = await describeProcess(join(root, String(pid)), pid, signal);
    if (text !== null && !add(text)) break;
  }
  if (signal.aborted) add('(the time for this was over)\n');
  return parts.join('');
}

async function describeProcess(folder: string, pid: number, signal: AbortSignal): Promise<string | null> {
  const [status, command] = await Promise.all([read(folder, 'status'), read(folder, 'cmdline')]);
  if (status === null) return null;
  const lines = [`== pid ${pid}: ${withoutSecrets((command ?? '').replaceAll('\0', ' ').trim())}`];
  lines.push(...status.split('\n').filter((line) => STATUS_KEYS.test(line)));
  const tasks = await readdir(join(folder, 'task')).catch(() => []);
  for (const task of tasks.slice(0, THREADS_MAX)) {
    if (signal.aborted) break;
    lines.push(...(await describeThread(join(folder, 'task', task), task)));
  }
  if (tasks.length > THREADS_MAX) lines.push(`(${tasks.length - THREADS_MAX} more threads)`);
  return `${lines.join('\n')}\n\n`;
}

async function describeThread(folder: string, id: string): Promise<string[]> {
  const [name, stat, wchan, stack] = await Promise.all(
    ['comm', 'stat', 'wchan', 'stack'].map((file) => read(folder, file)),
  );
  if (stat === null || stat === undefined) return [];
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  const waits = wchan === null || wchan === '0' || wchan === '' ? '' : ` in ${wchan}`;
  const frames = (stack ?? '').split('\n').filter((line) => line.trim() !== '');
  return [`-- thread ${id} ${(name ?? '').trim()}: ${state}${waits}`, ...frames.map((line) => `   ${line}`)];
}

async function read(folder: string, file: string): Promise<string | null> {
  return await readFile(join(folder, file), 'utf8').catch(() => null);
}
