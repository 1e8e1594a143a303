/**
 * The life of one embedded engine: check the model, listen, load, serve, drain, end. It outlives whoever started it: output
 * goes to files, a hang-up is ignored, and it ends by its own signals alone.
 *
 * States: starting (no socket), loading (listens, /health 503), serving, draining (after the first SIGTERM or SIGINT), ended.
 */
import { randomInt } from 'node:crypto';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../contract/errors.ts';
import { isModelAddress } from '../drivers/engines/embedded/model-address.ts';
import { checkModelFile, type ModelFile } from '../drivers/engines/embedded/model-file.ts';
import {
  type EmbeddedOptions,
  EXACT_MODEL_BYTES_MAX,
  parseEmbeddedArgs,
} from '../drivers/engines/embedded/options.ts';
import { createHttpServer, type HttpServer } from '../drivers/http/server.ts';
import { leavePort } from '../drivers/process/engine-ports.ts';
import { createVllmDialect, type VllmDialect } from '../wire/vllm/dialect.ts';
import { answerWhileLoading } from '../wire/vllm/loading.ts';
import { RELEASE } from './config/release.ts';

/** How long the native side may take to let go at the end; the process ends anyway. */
const CLOSE_MS = 2_000;

interface Served {
  dialect: VllmDialect;
  close(): Promise<void>;
}

/** Resolves when the engine serves; the process then lives until a signal ends it. */
export async function runEmbeddedEngine(args: readonly string[]): Promise<void> {
  survive();
  const startedMs = systemClock.monotonicMs();
  const since = () => Math.round(systemClock.monotonicMs() - startedMs);
  const state: { served: Served | null; ending: boolean } = { served: null, ending: false };
  try {
    const options = parseEmbeddedArgs(args);
    const local = isModelAddress(options.model) ? null : checkModelFile(options.model);
    const server = createHttpServer({
      handle: (exchange) => {
        if (state.served === null) answerWhileLoading(exchange);
        else state.served.dialect.handle(exchange);
      },
    });
    const { port } = await listen(server, options);
    const listenMs = since();
    endBySignal(server, state, options.drainMs);
    const file = local ?? (await download(options.model));
    state.served = await load(file, options);
    report({
      event: 'ready',
      url: `http://${options.host}:${port}`,
      model: options.modelName,
      pid: process.pid,
      listenMs,
      readyMs: since(),
    });
  } catch (thrown) {
    fail(PlatformError.from(thrown));
  }
}

/** Ends by a signal, or by `fail`, and by nothing that happens to the starter. */
function survive(): void {
  process.on('SIGHUP', () => {});
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const crash = (error: unknown) => {
    console.error(error instanceof Error ? (error.stack ?? error.message) : error);
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

async function listen(server: HttpServer, options: EmbeddedOptions): Promise<{ port: number }> {
  let bound: { port: number };
  try {
    bound = await server.listen({ host: options.host, port: options.port });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new PlatformError(
      'port_in_use',
      `${options.host}:${options.port}: can not listen (${code ?? 'unknown error'})`,
      {
        cause,
      },
    );
  }
  if (options.portFile !== undefined) leavePort(options.portFile, bound.port);
  return bound;
}

async function download(address: string): Promise<ModelFile> {
  const { modelDirectory, resolveModelAddress } = await import(
    '../drivers/engines/embedded/model-address.ts'
  );
  const directory = modelDirectory(process.env);
  report({ event: 'resolving', model: address, directory });
  return checkModelFile(await resolveModelAddress(address, { directory, clock: systemClock }));
}

async function load(file: ModelFile, options: EmbeddedOptions): Promise<Served> {
  const { createEmbeddedCore } = await import('../drivers/engines/embedded/core.ts');
  const apiKey = options.apiKeyEnv === undefined ? undefined : readKey(options.apiKeyEnv);
  const core = await createEmbeddedCore({
    ...options,
    modelPath: file.path,
    exact: options.exact === 'auto' ? file.bytes <= EXACT_MODEL_BYTES_MAX : options.exact === 'on',
    clock: systemClock,
    drawSeed: () => randomInt(2 ** 31),
    log: (message) => console.error(message),
  });
  const dialect = createVllmDialect({
    core,
    release: RELEASE,
    clock: systemClock,
    // The small model answers best without chance.
    sampling: { temperature: options.temperature ?? (file.builtin ? 0 : 1) },
    ...(apiKey !== undefined && { apiKey }),
    onFault: (error, exchange, requestId) =>
      console.error(`${requestId}: ${exchange.method} ${exchange.path}: ${error.code}: ${detailOf(error)}`),
  });
  return { dialect, close: () => core.close() };
}

function readKey(name: string): string {
  const key = process.env[name];
  if (key !== undefined && key !== '') return key;
  throw new PlatformError('config_invalid', `--api-key-env: the environment has no ${name}`);
}

/** The first signal drains, the second ends at once. */
function endBySignal(
  server: HttpServer,
  state: { served: Served | null; ending: boolean },
  drainMs: number,
): void {
  const onSignal = (signal: NodeJS.Signals) => {
    if (state.ending) process.exit(signal === 'SIGINT' ? 130 : 143);
    state.ending = true;
    report({ event: 'draining', signal, active: state.served?.dialect.active ?? 0 });
    void end(server, state.served, drainMs);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

async function end(server: HttpServer, served: Served | null, drainMs: number): Promise<never> {
  server.announceClose();
  const closed = server.close();
  if (served !== null) await Promise.race([served.dialect.drain(), systemClock.sleep(drainMs)]);
  // What is written last must still leave; idle connections are not waited for.
  await Promise.race([closed, systemClock.sleep(served === null ? 0 : 100)]);
  server.destroy();
  await Promise.race([served?.close(), systemClock.sleep(CLOSE_MS)]);
  report({ event: 'ended' });
  process.exit(0);
}

function report(fields: Record<string, unknown>): void {
  process.stdout.write(
    `${JSON.stringify({ at: new Date(systemClock.wallMs()).toISOString(), ...fields })}\n`,
  );
}

function fail(error: PlatformError): never {
  const stack = error.code === 'internal' ? `\n${detailOf(error)}` : '';
  process.stderr.write(`embedded engine: ${error.code}: ${error.message}${stack}\n`);
  process.exit(1);
}

function detailOf(error: PlatformError): string {
  const { cause } = error;
  return (cause instanceof Error ? cause.stack : error.stack) ?? error.message;
}
