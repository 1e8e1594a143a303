/**
 * What drivers of engines ask a KServe server over gRPC: each question on a connection of its own, because a probe must see
 * whether the engine accepts connections now. Never an exception; what went wrong is said in words.
 */

import { PlatformError } from '../../contract/errors.ts';
import type { EngineTarget, ProbeResult } from '../../contract/ports/engine-driver.ts';
import { signatureFromMessages } from '../../wire/kserve/infer-protobuf.ts';
import { conventionOf } from '../../wire/kserve/model-signature.ts';
import { BackendError } from './backend.ts';
import { backendError, type InferenceClient, openGrpcSession } from './grpc-sessions.ts';

export type GrpcQuestion = 'live' | 'ready' | 'model' | 'load' | 'unload';

/** Longer than any probe may take; the signal of the probe is the limit. */
const CONNECT_MS_MAX = 60_000;
const DETAIL_CHARACTERS_MAX = 200;

export async function askGrpc(
  target: EngineTarget,
  question: GrpcQuestion,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const session = openGrpcSession(target.url);
  const headers = target.engineKey === undefined ? {} : { authorization: `Bearer ${target.engineKey}` };
  try {
    await session.connect(CONNECT_MS_MAX, signal);
    return await ask(session.client, question, target.servedModel, { signal, headers });
  } catch (thrown) {
    return { ok: false, detail: signal.aborted ? 'no answer in time' : failureText(thrown) };
  } finally {
    session.close();
  }
}

type CallOptions = { signal: AbortSignal; headers: Record<string, string> };

async function ask(
  client: InferenceClient,
  question: GrpcQuestion,
  model: string,
  options: CallOptions,
): Promise<ProbeResult> {
  switch (question) {
    case 'live': {
      const { live } = await client.serverLive({}, options);
      return { ok: live, detail: live ? 'the server is live' : 'the server says that it is not live' };
    }
    case 'ready': {
      const { ready } = await client.serverReady({}, options);
      return { ok: ready, detail: ready ? 'the server is ready' : 'the server says that it is not ready' };
    }
    case 'model':
      return lookAtModel(client, model, options);
    case 'load':
      await client.repositoryModelLoad({ modelName: model }, options);
      return { ok: true, detail: `model '${model}' is loaded` };
    case 'unload':
      await client.repositoryModelUnload({ modelName: model }, options);
      return { ok: true, detail: `model '${model}' is unloaded` };
  }
}

async function lookAtModel(
  client: InferenceClient,
  model: string,
  options: CallOptions,
): Promise<ProbeResult> {
  const { ready } = await client.modelReady({ name: model }, options);
  if (!ready) return { ok: false, detail: `model '${model}' is not ready` };
  const metadata = await client.modelMetadata({ name: model }, options);
  const convention = conventionOf(signatureFromMessages(metadata, undefined));
  return { ok: true, detail: `model '${model}' is ready and takes tensors as ${convention}` };
}

function failureText(thrown: unknown): string {
  if (thrown instanceof PlatformError) return thrown.message;
  const { failure } = thrown instanceof BackendError ? thrown : backendError(thrown);
  if (failure.kind === 'refused')
    return `the engine answers like HTTP ${failure.status}: ${failure.message}`.slice(
      0,
      DETAIL_CHARACTERS_MAX,
    );
  switch (failure.failure) {
    case 'connect-refused':
      return 'connection refused';
    case 'connect-timeout':
      return 'no connection in time';
    case 'connection-lost':
      return 'connection closed by the engine';
  }
}
