/** Asks an exporter of GPU metrics, with a deadline and a bounded answer. */
import { type GpuGauges, gpuGauges } from '../../wire/prometheus/gpu-gauges.ts';

const TIMEOUT_MS = 1_500;
/** Hundreds of GPUs need less. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;

/** Null: it did not answer as it should. */
export async function readGpuExporter(url: string): Promise<GpuGauges | null> {
  const text = await exporterText(url, TIMEOUT_MS);
  return text === null ? null : gpuGauges(text);
}

/** What it publishes, as it is; null: it did not answer as it should. */
export async function exporterText(url: string, timeoutMs: number): Promise<string | null> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of answer.body ?? []) {
      bytes += chunk.length;
      if (bytes > TEXT_BYTES_MAX) return null;
      chunks.push(chunk);
    }
    return answer.ok ? Buffer.concat(chunks).toString('utf8') : null;
  } catch {
    return null;
  }
}
