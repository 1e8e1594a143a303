/**
 * `npm run conformance -- --engine KIND (--url URL | --program PATH --model MODEL)`: runs the conformance suites of engine drivers
 * against a real engine, beside the simulated ones. Without options it runs the simulated ones alone. The same by
 * variables, which docs/engines.md and docs/engines-triton.md list.
 */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ENGINE_KINDS, ENGINE_PROTOCOLS } from '../src/contract/fleet.ts';

/** Part of this package, so they are always run. */
const OURS: readonly string[] = ['embedded', 'simulator'];
const ENGINES: readonly string[] = ENGINE_KINDS.filter((kind) => !OURS.includes(kind));
/** The suites do not start these: how one is started depends on more than a program and a model. */
const BY_ADDRESS: readonly string[] = ['triton', 'openai'];
const PROTOCOLS: readonly string[] = ENGINE_PROTOCOLS;
const USAGE = `usage: npm run conformance -- [--engine ${ENGINES.join('|')}] [--url URL | --program PATH] [--model NAME_OR_FILE] [--key KEY] [--protocol ${PROTOCOLS.join('|')}]`;
const TESTS = ['engine-driver', 'live-engine', 'triton', 'triton-driver', 'triton-real'];

function readOptions() {
  try {
    return parseArgs({
      options: {
        engine: { type: 'string' },
        url: { type: 'string' },
        program: { type: 'string' },
        model: { type: 'string' },
        key: { type: 'string' },
        protocol: { type: 'string' },
      },
    }).values;
  } catch (error) {
    return stop(`${(error as Error).message}\n${USAGE}`);
  }
}

function stop(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

const { engine, url, program, model, key, protocol } = readOptions();
if (engine !== undefined && !ENGINES.includes(engine))
  stop(`--engine: found '${engine}'; known: ${ENGINES.join(', ')}\n${USAGE}`);
if (engine === undefined && (url ?? program) !== undefined) stop(`--engine is missing\n${USAGE}`);
if (protocol !== undefined && engine !== 'triton') stop(`--protocol is for --engine triton only\n${USAGE}`);
if (protocol !== undefined && !PROTOCOLS.includes(protocol))
  stop(`--protocol: found '${protocol}'; known: ${PROTOCOLS.join(', ')}\n${USAGE}`);
if (engine !== undefined && url === undefined) {
  if (BY_ADDRESS.includes(engine)) stop(`--engine ${engine} wants --url\n${USAGE}`);
  if (program === undefined || model === undefined)
    stop(`--engine ${engine} wants --url, or --program with --model\n${USAGE}`);
}
if (engine === 'triton' && model === undefined)
  stop(`--engine triton wants --model, the name in its repository\n${USAGE}`);

const vitest = resolve(import.meta.dirname, '../node_modules/vitest/vitest.mjs');
const tests = TESTS.map((name) => `tests/conformance/${name}.test.ts`);
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '--project', 'integration', '--reporter=verbose', ...tests],
  { stdio: 'inherit', env: { ...process.env, ...(engine === 'triton' ? tritonVariables() : variables()) } },
);
process.exit(status ?? 1);

function variables(): Record<string, string> {
  return {
    ...(engine !== undefined && { CONFORMANCE_ENGINE: engine }),
    ...(url !== undefined && { CONFORMANCE_URL: url }),
    ...(program !== undefined && { CONFORMANCE_PROGRAM: resolve(program) }),
    ...(model !== undefined && { CONFORMANCE_MODEL: model }),
    ...(key !== undefined && { CONFORMANCE_KEY: key }),
  };
}

/** Read by tests/conformance/triton-real.test.ts. */
function tritonVariables(): Record<string, string> {
  const address = `TRITON_${(protocol ?? 'openai').toUpperCase().replaceAll('-', '_')}`;
  return {
    [address]: url as string,
    TRITON_MODEL: model as string,
    ...(key !== undefined && { TRITON_KEY: key }),
  };
}
