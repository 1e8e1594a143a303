import { defineConfig } from 'vitest/config';

/**
 * Two projects: `unit` holds the tests that stand beside the code and the architecture test (no sockets, seconds in all);
 * `integration` starts real processes on loopback, one file at a time so that they do not fight over two cores.
 */
export default defineConfig({
  test: {
    reporters: ['default', './tests/support/closing-line-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'src/**/*.test.ts',
            'bench/**/*.test.ts',
            'scripts/**/*.test.ts',
            'tests/architecture.test.ts',
          ],
          testTimeout: 30_000,
          // The files share their modules, which keep no state: loading the same ones for each of 120 files takes longer than half of the tests.
          isolate: false,
          // One less than there are processors is the default, which is one of two.
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['tests/{conformance,integration,faults,simulation,docs}/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
