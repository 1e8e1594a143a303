/**
 * `npm run conformance -- --engine KIND (--url URL | --program PATH --model MODEL)`: runs the conformance suite of engine drivers
 * against a real engine, beside the simulated ones. Without options it runs the simulated ones alone. The same by
 * variables: LLAMA_SERVER=path MODEL=file.gguf, VLLM_URL, SGLANG_URL, TGI_URL, OLLAMA_URL (docs/engines.md).
 */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

const ENGINES = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama'];
const USAGE = `usage: npm run conformance -- [--engine ${ENGINES.join('|')}] [--url URL | --program PATH] [--model NAME_OR_FILE] [--key KEY]`;

function readOptions() {
  try {
    return parseArgs({
      options: {
        engine: { type: 'string' },
        url: { type: 'string' },
        program: { type: 'string' },
        model: { type: 'string' },
        key: { type: 'string' },
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

const { engine, url, program, model, key } = readOptions();
if (engine !== undefined && !ENGINES.includes(engine))
  stop(`--engine: found '${engine}'; known: ${ENGINES.join(', ')}\n${USAGE}`);
if (engine === undefined && (url ?? program) !== undefined) stop(`--engine is missing\n${USAGE}`);
if (engine !== undefined && url === undefined && (program === undefined || model === undefined))
  stop(`--engine ${engine} wants --url, or --program with --model\n${USAGE}`);

const chosen = {
  ...(engine !== undefined && { CONFORMANCE_ENGINE: engine }),
  ...(url !== undefined && { CONFORMANCE_URL: url }),
  ...(program !== undefined && { CONFORMANCE_PROGRAM: resolve(program) }),
  ...(model !== undefined && { CONFORMANCE_MODEL: model }),
  ...(key !== undefined && { CONFORMANCE_KEY: key }),
};
const vitest = resolve(import.meta.dirname, '../node_modules/vitest/vitest.mjs');
const tests = ['tests/conformance/engine-driver.test.ts', 'tests/conformance/live-engine.test.ts'];
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '--project', 'integration', '--reporter=verbose', ...tests],
  { stdio: 'inherit', env: { ...process.env, ...chosen } },
);
process.exit(status ?? 1);
