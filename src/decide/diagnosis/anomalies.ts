/**
 * What is not as it should be with the processes of an engine, and is no fault by itself: a processor that is fully used for long, a
 * program that an engine has no business to start, a container that its engine restarts. People are told; nothing is done.
 */
import type { AnomalyKind } from '../../contract/facts.ts';
import type { ContainerFacts, ProcessFacts } from '../../contract/signals.ts';
import type { Point } from './signals.ts';

export interface Anomaly {
  kind: AnomalyKind;
  text: string;
}

export interface AnomalyInput {
  /** Of the main process, in cores. */
  cpu: readonly Point[];
  /** It computes in its main process, so a full processor is work, as long as there is some. */
  computesInMain: boolean;
  hasWork: boolean;
  processes: ProcessFacts | undefined;
  container: ContainerFacts | undefined;
  cpuRatio: number;
  cpuForMs: number;
}

export function anomaliesIn(input: AnomalyInput): Anomaly[] {
  const { processes, container } = input;
  const found: Anomaly[] = [];
  const cpuText = fullProcessor(input);
  if (cpuText !== null) found.push({ kind: 'cpu', text: cpuText });
  for (const { pid, name, command } of processes?.unexpected ?? [])
    found.push({ kind: 'unexpected-process', text: `the engine started ${name} (pid ${pid}): ${command}` });
  if (processes !== undefined && processes.missing.length > 0)
    found.push({
      kind: 'process-missing',
      text: `${processes.missing.join(', ')} is gone, and nobody has restarted it`,
    });
  if (container !== undefined && container.restarts > 0) {
    const text = `its container ${container.id.slice(0, 12)} was restarted ${container.restarts} times by others`;
    found.push({ kind: 'container-restarted', text });
  }
  return found;
}

/** Null: it was below the limit at some moment of the span, or is not known for so long. */
function fullProcessor({ cpu, computesInMain, hasWork, cpuRatio, cpuForMs }: AnomalyInput): string | null {
  if (computesInMain && hasWork) return null;
  const last = cpu.at(-1);
  if (last === undefined) return null;
  const since = cpu.findLast(({ value }) => value < cpuRatio)?.atMs ?? cpu[0]?.atMs ?? last.atMs;
  const forMs = last.atMs - since;
  if (forMs < cpuForMs || last.value < cpuRatio) return null;
  return `its main process has used ${Math.round(last.value * 100)} % of a processor for ${Math.round(forMs / 1000)} s${hasWork ? '' : ', without work'}`;
}
