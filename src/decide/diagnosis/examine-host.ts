/** Processes, GPUs, the host and the gateways: what is around the engine. */
import type { Evidence } from '../../contract/diagnosis.ts';
import type { Inquiry } from './inquiry.ts';
import type { SignalWindow } from './signals.ts';

const LOOP_DELAY_MS = 200;
const FREE_RATIO_MIN = 0.5;
/** A straggler is slower than its peers by a deviation and by a tenth. */
const SLOWER_RATIO = 1.1;
const PEERS_MIN = 2;

export function examineHost(window: SignalWindow, inquiry: Inquiry): void {
  examineProcesses(window, inquiry);
  examineGpus(window, inquiry);
  examinePeers(window, inquiry);
  examineGateway(window, inquiry);
}

function examineProcesses({ processes, exit, phase, gpus }: SignalWindow, inquiry: Inquiry): void {
  if (processes === undefined) return;
  const { wrapperAlive, missing, orphans, stopped = [] } = processes;
  if (stopped.length > 0 && exit === undefined) {
    const text = `pid ${stopped.join(', ')} is stopped by a signal (state T), so it makes no step`;
    inquiry.suspect('hung', 'witness', { confidence: 0.95, evidence: [{ signal: 'process', text }] });
  }
  if (wrapperAlive && missing.length > 0 && exit === undefined) {
    const text = `${missing.join(', ')} is gone, and the process that answers lives`;
    inquiry.suspect('child-dead', 'symptom', { confidence: 0.9, evidence: [{ signal: 'process', text }] });
  }
  const holding = orphans.filter(({ gpuBytes }) => (gpuBytes ?? 0) > 0);
  if (holding.length === 0 || phase !== 'starting') return;
  const evidence: Evidence[] = holding.map(({ pid, name, gpuBytes }) => ({
    signal: 'process',
    text: `pid ${pid} (${name}) of a former start holds ${gib(gpuBytes ?? 0)}`,
  }));
  const short = gpus?.some(
    ({ freeBytes, totalBytes }) => (freeBytes ?? 0) < (totalBytes ?? 0) * FREE_RATIO_MIN,
  );
  inquiry.ruleOut('no-memory-at-start', 'the memory is there, and a process of a former start holds it');
  inquiry.suspect('orphan-holds-gpu', 'witness', { confidence: short === false ? 0.6 : 0.9, evidence });
}

function examineGpus({ gpus, host, phase }: SignalWindow, inquiry: Inquiry): void {
  for (const { id, reachable, uncorrectedEccErrors } of gpus ?? []) {
    if (!reachable) {
      const text = `GPU ${id} cannot be queried any more`;
      inquiry.suspect('gpu-lost', 'witness', { confidence: 0.9, evidence: [{ signal: 'gpu', text }] });
    } else if ((uncorrectedEccErrors ?? 0) > 0) {
      const text = `GPU ${id} counts ${uncorrectedEccErrors} uncorrected memory errors`;
      inquiry.suspect('gpu-lost', 'symptom', { confidence: 0.75, evidence: [{ signal: 'gpu', text }] });
    }
  }
  if (host === undefined || phase !== 'starting' || host.replicas < 2 || host.notReady < host.replicas)
    return;
  const text = `none of the ${host.replicas} engines of this host becomes ready`;
  inquiry.suspect('driver-not-ready', 'confirmation', {
    confidence: 0.6,
    evidence: [{ signal: 'start', text }],
  });
}

function examinePeers({ capacity, gpus }: SignalWindow, inquiry: Inquiry): void {
  const { stepMs, peerStepsMs } = capacity ?? {};
  if (stepMs === undefined || peerStepsMs === undefined || peerStepsMs.length < PEERS_MIN) return;
  const mean = peerStepsMs.reduce((sum, value) => sum + value, 0) / peerStepsMs.length;
  const deviation = Math.sqrt(
    peerStepsMs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / peerStepsMs.length,
  );
  if (stepMs <= mean + deviation || stepMs <= mean * SLOWER_RATIO) return;
  const slower = Math.round((stepMs / mean - 1) * 100);
  const evidence: Evidence[] = [
    { signal: 'metrics', text: `its steps take ${slower} % longer than those of its peers` },
  ];
  const throttled = gpus?.filter((gpu) => gpu.throttled === true) ?? [];
  for (const { id } of throttled)
    evidence.push({ signal: 'gpu', text: `the clocks of GPU ${id} are held down` });
  inquiry.suspect('straggler', 'confirmation', { confidence: throttled.length > 0 ? 0.85 : 0.7, evidence });
}

function examineGateway({ gateway, probes }: SignalWindow, inquiry: Inquiry): void {
  if (gateway === undefined) return;
  const { eventLoopDelayP99Ms, replicas, silentReplicas } = gateway;
  const late = eventLoopDelayP99Ms >= LOOP_DELAY_MS;
  const allSilent = replicas > 1 && silentReplicas === replicas;
  const answersUs = probes?.at(-1)?.ok === true;
  if (!late || !(allSilent || answersUs)) return;
  const evidence: Evidence[] = [
    {
      signal: 'gateway',
      text: `the event loop of the gateway is ${Math.round(eventLoopDelayP99Ms)} ms late`,
    },
  ];
  if (allSilent) evidence.push({ signal: 'gateway', text: `all ${replicas} replicas fell silent at once` });
  if (answersUs) evidence.push({ signal: 'probe', text: 'the engine answers who asks it directly' });
  inquiry.suspect('gateway-fault', 'witness', { confidence: allSilent ? 0.85 : 0.7, evidence });
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
