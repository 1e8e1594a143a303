/** Publishes load and memory of one GPU in the words of NVIDIA's DCGM exporter, as a test sets them. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const MEMORY_MIB = 80_000;

export interface GpuExporter {
  url: string;
  gauges: { gpuLoad: number; memoryUsage: number };
  /** Times that it was read. */
  reads: number;
  close(): Promise<void>;
}

export async function startGpuExporter(): Promise<GpuExporter> {
  const exporter: GpuExporter = {
    url: '',
    gauges: { gpuLoad: 0, memoryUsage: 0 },
    reads: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const server = createServer((_request, response) => {
    const { gpuLoad, memoryUsage } = exporter.gauges;
    const used = memoryUsage * MEMORY_MIB;
    exporter.reads++;
    response.end(
      [
        `DCGM_FI_DEV_GPU_UTIL{gpu="0"} ${gpuLoad * 100}`,
        `DCGM_FI_DEV_FB_USED{gpu="0"} ${used}`,
        `DCGM_FI_DEV_FB_FREE{gpu="0"} ${MEMORY_MIB - used}`,
        '',
      ].join('\n'),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  exporter.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
  return exporter;
}
