/**
 * Triton's gRPC side as handlers of the service: the same server as behind HTTP. An error of a streamed inference is a text in
 * an answer, or closes the stream by its status when the client asks for that (`triton_grpc_error`).
 */
import { ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import type { GRPCInferenceService, ModelInferRequest } from '../kserve/proto/inference_pb.ts';
import type { Outputs } from './generate.ts';
import { inferMessageOf, parametersIn, tensorsIn } from './grpc-tensors.ts';
import { modelIndex, TRITON_EXTENSIONS, TRITON_RELEASE } from './http-dialect.ts';
import { CONFIG_TYPES, dimsOf, type ModelDeclaration } from './model-declaration.ts';
import { TritonError } from './triton-error.ts';
import type { TritonServer } from './triton-server.ts';

/** Lets whoever runs the server spoil the answers of one call, as faults do. */
export type AroundCall = <T>(
  context: HandlerContext,
  answers: AsyncGenerator<T, void>,
) => AsyncGenerator<T, void>;

export function tritonGrpcService(
  server: TritonServer,
  around: AroundCall = (_context, answers) => answers,
): Partial<ServiceImpl<typeof GRPCInferenceService>> {
  const { core, declaration } = server;
  return {
    serverLive: () => ({ live: true }),
    serverReady: () => ({ ready: server.ready }),
    modelReady: ({ name }) => said(() => ({ ready: server.isReady(name) })),
    serverMetadata: () => ({ name: 'triton', version: TRITON_RELEASE, extensions: TRITON_EXTENSIONS }),
    modelMetadata: ({ name }) =>
      said(() => {
        server.requireModel(name);
        const { backend, inputs, outputs } = declaration;
        return {
          name,
          versions: ['1'],
          platform: backend === '' ? 'ensemble' : backend,
          inputs: inputs.map(described),
          outputs: outputs.map(described),
        };
      }),
    modelConfig: ({ name }) =>
      said(() => {
        server.requireModel(name);
        return { config: configOf(name, declaration) };
      }),
    modelInfer: async (request, context) => {
      for await (const outputs of around(context, answersTo(server, request, context, false)))
        return inferMessageOf(core.info.model, request.id, outputs);
      throw new ConnectError('the model gave no answer', 13);
    },
    modelStreamInfer: (requests, context) => around(context, streamedAnswers(server, requests, context)),
    repositoryIndex: ({ ready }) => {
      const entry = modelIndex(server);
      return { models: ready && entry.state !== 'READY' ? [] : [entry] };
    },
    repositoryModelLoad: ({ modelName }) =>
      said(() => {
        server.setLoaded(modelName, true);
        return {};
      }),
    repositoryModelUnload: ({ modelName }) =>
      said(() => {
        server.setLoaded(modelName, false);
        return {};
      }),
  };
}

async function* streamedAnswers(
  server: TritonServer,
  requests: AsyncIterable<ModelInferRequest>,
  context: HandlerContext,
) {
  const closesOnError = context.requestHeader.get('triton_grpc_error') === 'true';
  for await (const request of requests) {
    const model = server.core.info.model;
    const wantsFinal = parametersIn(request).triton_enable_empty_final_response === true;
    try {
      for await (const outputs of answersTo(server, request, context, true))
        yield { inferResponse: { ...inferMessageOf(model, request.id, outputs), ...finalFlag(false) } };
      if (wantsFinal)
        yield { inferResponse: { ...inferMessageOf(model, request.id, []), ...finalFlag(true) } };
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      if (closesOnError || context.signal.aborted) throw error;
      yield { errorMessage: error.rawMessage };
    }
  }
}

function finalFlag(value: boolean) {
  return {
    parameters: { triton_final_response: { parameterChoice: { case: 'boolParam' as const, value } } },
  };
}

async function* answersTo(
  server: TritonServer,
  request: ModelInferRequest,
  context: HandlerContext,
  decoupledAllowed: boolean,
): AsyncGenerator<Outputs, void> {
  try {
    yield* server.infer({
      model: request.modelName,
      requestId: request.id === '' ? 'request' : request.id,
      tensors: tensorsIn(request),
      parameters: withoutTritons(parametersIn(request)),
      decoupledAllowed,
      signal: context.signal,
    });
  } catch (thrown) {
    throw connectError(thrown);
  }
}

function withoutTritons<T>(parameters: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !name.startsWith('triton_')));
}

function said<T>(answer: () => T): T {
  try {
    return answer();
  } catch (thrown) {
    throw connectError(thrown);
  }
}

function connectError(thrown: unknown): ConnectError {
  const error = TritonError.from(thrown);
  return new ConnectError(error.message, error.grpcCode);
}

function described({ name, datatype, shape }: ModelDeclaration['inputs'][number]) {
  return { name, datatype, shape: shape.map(BigInt) };
}

function configOf(name: string, declaration: ModelDeclaration) {
  const show = (tensor: ModelDeclaration['inputs'][number]) => ({
    name: tensor.name,
    dataType: CONFIG_TYPES[tensor.datatype]?.[1] ?? 0,
    dims: dimsOf(declaration, tensor).map(BigInt),
  });
  return {
    name,
    backend: declaration.backend,
    platform: declaration.backend === '' ? 'ensemble' : '',
    maxBatchSize: declaration.maxBatchSize,
    input: declaration.inputs.map((tensor) => ({ ...show(tensor), optional: tensor.optional === true })),
    output: declaration.outputs.map(show),
    modelTransactionPolicy: { decoupled: declaration.decoupled },
  };
}
