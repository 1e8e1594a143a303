/**
 * The simulator's Triton dialect held against NVIDIA's own client, over HTTP and gRPC, for each backend. Needs a Python with
 * `tritonclient[http,grpc]`: the one that TRITONCLIENT_PYTHON names, or python3. Skipped where there is none.
 */
import { execFile, execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { TRITON_BACKENDS } from '../../src/wire/triton/model-declaration.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const PYTHON = process.env.TRITONCLIENT_PYTHON ?? 'python3';
const SCRIPT = resolve(import.meta.dirname, '../support/tritonclient-check.py');

function whyNot(): string | null {
  try {
    execFileSync(PYTHON, ['-c', 'import tritonclient.http, tritonclient.grpc'], { stdio: 'pipe' });
    return null;
  } catch {
    return `${PYTHON} has no tritonclient[http,grpc]; name one that has by TRITONCLIENT_PYTHON`;
  }
}

const missing = whyNot();
if (missing !== null) console.log(`skipped: ${missing}`);

afterEach(stopSimulators);

describe.skipIf(missing !== null)("NVIDIA's client", () => {
  it.each(TRITON_BACKENDS)('takes the simulator with backend %s for a Triton', async (backend) => {
    const simulator = await startSimulator([
      ...['--dialect', 'triton', '--triton-backend', backend, '--model-name', 'demo'],
      ...['--grpc-port', '0', '--speed', '20', '--max-model-len', '2048'],
    ]);
    const addresses = [new URL(simulator.url).host, `127.0.0.1:${simulator.ports.grpc}`];
    const { stdout } = await promisify(execFile)(PYTHON, [SCRIPT, ...addresses, 'demo', backend], {
      timeout: 60_000,
    });
    expect(stdout.trim().split('\n').at(-1)).toBe('all checks passed');
  });
});
