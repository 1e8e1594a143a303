/** What the machine says of itself: GPUs, memory and pressure, system. */
import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, loadavg, platform, release, totalmem, uptime, version } from 'node:os';
import { join } from 'node:path';
import type { Redactor } from '../../base/redaction.ts';
import type { EvidenceSubject } from '../../contract/ports/evidence.ts';
import { NotThere, type PartText } from './part-text.ts';
import { readProc } from './process-tree.ts';
import { runProgram } from './run-program.ts';

export async function takeGpu(
  text: PartText,
  {
    redactor,
    program,
    path,
    signal,
  }: { redactor: Redactor; program: string; path: string; signal: AbortSignal },
): Promise<void> {
  const { output, problem, isMissing } = await runProgram(program, ['-q'], { path, signal });
  if (isMissing) throw new NotThere(problem ?? `${program} is not installed here`);
  text.add(redactor.text(output));
  if (problem !== null) throw new NotThere(problem);
}

const PRESSURES = ['cpu', 'memory', 'io'];
/** Of cgroup v2; where only v1 is there, nothing is found. */
const CGROUP_FILES = [
  'memory.current',
  'memory.max',
  'memory.peak',
  'memory.events',
  'memory.pressure',
  'cpu.stat',
];

export async function takeMemory({ process }: EvidenceSubject, text: PartText): Promise<void> {
  const files = ['/proc/meminfo', ...PRESSURES.map((name) => `/proc/pressure/${name}`)];
  if (process !== null) {
    const cgroup = /^0::(.*)$/m.exec(await readProc(process.pid, 'cgroup'))?.[1];
    if (cgroup !== undefined) files.push(...CGROUP_FILES.map((name) => join('/sys/fs/cgroup', cgroup, name)));
  }
  for (const file of files) {
    const found = await readFile(file, 'utf8').catch(() => null);
    if (found !== null) text.add(`=== ${file}\n${found}`);
  }
  if (text.isEmpty) throw new NotThere('the system says nothing of its memory');
}

export function machineFacts(): Record<string, unknown> {
  return {
    system: { platform: platform(), release: release(), version: version(), arch: arch() },
    node: { version: process.version, v8: process.versions.v8, pid: process.pid },
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    loadAverage: loadavg(),
    upForS: Math.round(uptime()),
  };
}
