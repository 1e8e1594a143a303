/** What the lines of engine and kernel say. The earliest root is the suspect; what comes later or follows from it is ruled out. */
import type { Evidence } from '../../contract/diagnosis.ts';
import type { Inquiry } from './inquiry.ts';
import { causeAmong, counts } from './log-cause.ts';
import type { AttemptReading, LogFinding } from './log-scan.ts';
import type { SignalWindow } from './signals.ts';

/** What the kernel says of these explains what the engine says. */
const KERNEL_WITNESSES: readonly string[] = [
  'host-out-of-memory',
  'gpu-lost',
  'network-transient',
  'driver-not-ready',
];

export function examineLog(window: SignalWindow, inquiry: Inquiry): void {
  const { log, kernelLog } = window;
  if (kernelLog !== undefined) examineKernel(kernelLog, inquiry);
  if (log === undefined) return;
  const kernelRoot = log.findings.find((finding) => isKernelRoot(finding));
  if (kernelRoot !== undefined) {
    inquiry.suspect(kernelRoot.class, 'witness', { confidence: 0.9, evidence: [lineEvidence(kernelRoot)] });
  }
  const cause = causeAmong(log.findings);
  if (cause !== null && counts(cause)) accuse(window, log, cause, inquiry);
  for (const finding of log.findings) sayWhyNot(finding, cause, inquiry);
}

function examineKernel({ findings }: AttemptReading, inquiry: Inquiry): void {
  const cause = causeAmong(findings);
  if (cause === null || !counts(cause)) return;
  const kind = cause.role === 'root' && KERNEL_WITNESSES.includes(cause.class) ? 'witness' : 'confirmation';
  inquiry.suspect(cause.class, kind, {
    confidence: cause.role === 'root' ? 0.9 : 0.6,
    evidence: [lineEvidence(cause)],
  });
}

function isKernelRoot({ rule, role, class: fault }: LogFinding): boolean {
  return role === 'root' && /^(kernel|supervisor)-/.test(rule) && KERNEL_WITNESSES.includes(fault);
}

function accuse(window: SignalWindow, log: AttemptReading, cause: LogFinding, inquiry: Inquiry): void {
  const supporting = log.findings.filter(
    (finding) =>
      finding !== cause && counts(finding) && (finding.role === 'cascade' || finding.class === cause.class),
  );
  const evidence = [lineEvidence(cause), ...supporting.map(lineEvidence)];
  if (cause.class === 'busy') return accuseBusy(window, log, { cause, evidence }, inquiry);
  if (cause.role === 'root') {
    const starting = isStarting(window, log);
    const fault = cause.class === 'gpu-out-of-memory' && starting ? 'no-memory-at-start' : cause.class;
    if (fault !== cause.class) {
      evidence.push({ signal: 'start', text: 'the engine had not become ready' });
      inquiry.ruleOut('gpu-out-of-memory', 'it happened during the start, before anything was served');
    }
    const confidence = supporting.length > 0 ? 0.95 : 0.85;
    return inquiry.suspect(fault, 'root', { confidence, evidence });
  }
  if (endedCleanly(window, log, cause)) {
    if (log.stop !== null) evidence.push({ signal: 'log', text: log.stop.text, line: log.stop.number });
    evidence.push({ signal: 'exit', text: 'after a fatal error it shut down as if it had been asked to' });
    return inquiry.suspect('clean-exit-after-fatal', 'confirmation', { confidence: 0.8, evidence });
  }
  const kind = cause.role === 'confirmation' ? 'confirmation' : 'cascade';
  inquiry.suspect(cause.class, kind, { confidence: supporting.length > 0 ? 0.75 : 0.65, evidence });
}

/** Fatal words of the core, then an end in order. */
function endedCleanly({ exit }: SignalWindow, { stop }: AttemptReading, cause: LogFinding): boolean {
  if (cause.class !== 'engine-core-dead') return false;
  if (exit !== undefined) return exit.exit.kind === 'exited' && exit.exit.code === 0 && !exit.asked;
  return stop !== null && stop.number > cause.number;
}

/** Its own health check fails: is it dead, or only busy? Steps that the log shows afterwards decide. */
function accuseBusy(
  window: SignalWindow,
  { lastWork }: AttemptReading,
  { cause, evidence }: { cause: LogFinding; evidence: Evidence[] },
  inquiry: Inquiry,
): void {
  const { times, firstMs, lastMs } = cause.sinceWork;
  const silentMs = Math.max((lastMs ?? 0) - (firstMs ?? 0), (lastMs ?? 0) - (lastWork?.atMs ?? lastMs ?? 0));
  const checked = cause.rule.includes('health');
  if (checked && window.metrics === undefined && times >= SILENT_CHECKS_MIN && silentMs >= SILENT_MS) {
    const since = lastWork === null ? '' : ` since line ${lastWork.number}`;
    evidence.push({ signal: 'log', text: `${times} checks failed and no step is shown${since}` });
    inquiry.ruleOut('busy', 'a busy engine makes steps, and the log shows none');
    return inquiry.suspect('hung', 'symptom', { confidence: 0.65, evidence });
  }
  if (lastWork !== null && lastWork.number > cause.number) {
    evidence.push({ signal: 'log', text: `steps go on: ${lastWork.text}`, line: lastWork.number });
    inquiry.ruleOut('hung', 'steps go on after the failed checks');
  }
  inquiry.suspect('busy', 'confirmation', { confidence: 0.7, evidence });
}

const SILENT_CHECKS_MIN = 3;
const SILENT_MS = 60_000;

function isStarting({ phase }: SignalWindow, { sawStart, ready, lastWork }: AttemptReading): boolean {
  if (phase !== undefined) return phase === 'starting';
  return sawStart && ready === null && lastWork === null;
}

function sayWhyNot(finding: LogFinding, cause: LogFinding | null, inquiry: Inquiry): void {
  const { class: fault, role, weak, number, times, timesMin } = finding;
  if (role === 'advice' || finding === cause || fault === cause?.class) return;
  if (times < timesMin) {
    inquiry.ruleOut(fault, `line ${number} came ${times} times; it means something from ${timesMin} on`);
  } else if (weak) {
    inquiry.ruleOut(fault, `line ${number} proves nothing alone; engines that are well print it, too`);
  } else if (cause !== null && role === 'cascade') {
    inquiry.ruleOut(fault, `line ${number} follows from line ${cause.number} (${cause.class})`);
  } else if (cause !== null) {
    const earlier = cause.number < number ? 'an earlier' : 'a more likely';
    inquiry.ruleOut(fault, `line ${number}: line ${cause.number} is ${earlier} cause (${cause.class})`);
  }
}

export function lineEvidence({ line, number, times, role, rule, sources }: LogFinding): Evidence {
  return { signal: 'log', text: line, line: number, times, role, rule, sources };
}
