import fc from 'fast-check';
import { expect, it } from 'vitest';
import { gpuGauges } from './gpu-gauges.ts';

const EXPORTED = `# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H100 80GB HBM3"} 80
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H100 80GB HBM3"} 40
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-a"} 20000
DCGM_FI_DEV_FB_FREE{gpu="1",UUID="GPU-b"} 60000
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a"} 60000
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b"} 20000
`;

it('gives the mean load and the share of memory in use', () => {
  expect(gpuGauges(EXPORTED)).toEqual({ gpuLoad: 0.6, memoryUsage: 0.5 });
});

it('says NaN of what the exporter does not publish', () => {
  expect(gpuGauges('up 1\n')).toEqual({ gpuLoad: Number.NaN, memoryUsage: Number.NaN });
});

it('is between 0 and 1, or not known, whatever an exporter says (property)', () => {
  const sample = fc
    .tuple(
      fc.constantFrom('DCGM_FI_DEV_GPU_UTIL', 'DCGM_FI_DEV_FB_USED', 'DCGM_FI_DEV_FB_FREE'),
      fc.oneof(fc.double(), fc.constantFrom('NaN', '+Inf', 'x')),
    )
    .map(([name, value]) => `${name}{gpu="0"} ${value}`);
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 6 }), (lines) => {
      const { gpuLoad, memoryUsage } = gpuGauges(lines.join('\n'));
      for (const value of [gpuLoad, memoryUsage]) {
        if (!Number.isNaN(value) && !(value >= 0 && value <= 1)) throw new Error(`${value} is no ratio`);
      }
    }),
    { numRuns: 10_000 },
  );
});
