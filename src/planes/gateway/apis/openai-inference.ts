/** Inference in the OpenAI dialect: bodies and streams go through as they are. */
import type { InferenceEndpoint } from '../../../wire/openai/envelope.ts';
import { parseEnvelope } from '../../../wire/openai/envelope.ts';
import type { ApiCall, ApiContext, ApiRoute } from '../api-route.ts';
import { serveInference } from '../serve-inference.ts';

export const openAiInferenceRoutes: readonly ApiRoute[] = [
  inference('/v1/chat/completions', 'chat'),
  inference('/v1/completions', 'completions'),
  inference('/v1/embeddings', 'embeddings'),
  ...['/v1/rerank', '/v2/rerank', '/rerank'].map((path) => inference(path, 'rerank')),
  ...(['score', 'tokenize', 'detokenize', 'classify', 'pooling'] as const).flatMap((endpoint) => [
    inference(`/v1/${endpoint}`, endpoint),
    inference(`/${endpoint}`, endpoint),
  ]),
];

function inference(template: string, endpoint: InferenceEndpoint): ApiRoute {
  return {
    method: 'POST',
    template,
    policy: 'key',
    idempotent: true,
    handle: (gateway: ApiContext, { exchange, record }: ApiCall) =>
      exchange.readBody(gateway.settings.bodyBytesMax).then((bytes) => {
        record.bytesIn = bytes.length;
        return serveInference(gateway, exchange, parseEnvelope(endpoint, bytes), record);
      }),
  };
}
