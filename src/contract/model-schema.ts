/** One entry of `models` in `autoglm.yaml`, also what a model is loaded by at run time. */
import { z } from 'zod';
import { batchingSchema } from './batching-schema.ts';
import { cacheEndpoints, cacheMode, cacheTtl, positiveMs, secret } from './config-values.ts';
import { ENGINE_KINDS, ENGINE_PROTOCOLS } from './fleet.ts';
import { modelLimitsSchema } from './limits-schema.ts';
import { saferStepsSchema, spareDevicesSchema, standbySchema } from './remedy-means-schema.ts';
import { DEFAULT_STRATEGY, STRATEGY_NAMES } from './scheduling.ts';

const engineUrl = z.url({ protocol: /^(https?|grpcs?)$/ });
const urlEntry = z.union([
  engineUrl,
  z.strictObject({
    url: engineUrl.describe('Origin, or origin with /v1.'),
    served_model_name: z
      .string()
      .min(1)
      .optional()
      .describe('The name by which this engine knows the model. Default: that of the model.'),
    api_key: secret(1, 'Bearer key that this engine wants. Default: that of the model.').optional(),
    max_batch_size: z
      .number()
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe('Requests in flight at this engine. Default: that of the model.'),
    weight: z
      .number()
      .min(0.01)
      .max(1000)
      .optional()
      .describe('Share of the requests that this engine gets against the others of the model. Default: 1.'),
  }),
]);

export const modelSchema = z
  .strictObject({
    model_name: z.string().min(1).max(200).describe('The name that clients send as `model`.'),
    engine: z
      .enum(ENGINE_KINDS)
      .default('embedded')
      .describe(
        'What serves the model (docs/engines.md). `embedded` needs nothing else installed; `openai` is any OpenAI-compatible endpoint.',
      ),
    model: z
      .string()
      .min(1)
      .optional()
      .describe(
        'For engines that we start: path of a GGUF file, `hf:` address, or the name the engine understands. Relative to this file. Default with `embedded`: the built-in model, which has the name inference-ops-demo.',
      ),
    served_model_name: z
      .string()
      .min(1)
      .optional()
      .describe('The name by which the engine itself knows the model, where it differs from `model_name`.'),
    aliases: z.array(z.string().min(1)).default([]).describe('Further names for the model.'),
    fallbacks: z
      .array(z.string().min(1))
      .max(16)
      .default([])
      .describe(
        'Models to ask instead, in this order, when no replica of this one can serve or all attempts failed before the first token. Never after a 4xx of the engine.',
      ),
    strategy: z
      .enum(STRATEGY_NAMES)
      .default(DEFAULT_STRATEGY)
      .describe(
        'How requests are shared out over the replicas (docs/scheduling.md). `prefix-cache` sends a prompt where its beginning was seen before, `session` keeps a conversation on one replica, `dynamic-weighted` needs `gpu_metrics_url`.',
      ),
    limits: modelLimitsSchema,
    lora_adapters: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(200).describe('The name that clients send as `model`.'),
          path: z
            .string()
            .min(1)
            .describe('Where the engine finds it: a path, or a name that the engine understands.'),
        }),
      )
      .max(256)
      .default([])
      .describe(
        'LoRA adapters: each is a model of its own for clients, served by the replicas of this one. vllm, sglang and llama-server.',
      ),
    replicas: z.number().int().min(1).max(64).default(1).describe('Engines to start. Ignored with `urls`.'),
    standby: standbySchema,
    spare_devices: spareDevicesSchema,
    safer_steps: saferStepsSchema,
    protocol: z
      .enum(ENGINE_PROTOCOLS)
      .optional()
      .describe(
        'How a Triton server is spoken to: by its OpenAI front end, or by KServe v2 over HTTP or gRPC. Default: openai. Only with engine triton.',
      ),
    chat_template: z
      .string()
      .min(1)
      .optional()
      .describe(
        'How chats become text for a KServe model: chatml, llama3, mistral, plain, or a file, relative to this one: a Jinja template or a tokenizer_config.json. Default: none, and chats are refused. Only with protocol kserve-http or kserve-grpc.',
      ),
    metrics_url: z
      .string()
      .regex(/^https?:\/\/.+/, 'expected an http address such as http://{host}:8002/metrics')
      .optional()
      .describe(
        'Where a Triton server publishes its metrics; {host} is the host of each engine. Default: /metrics of port 8002 beside ports 8000 and 8001, else of the next port. Only with engine triton.',
      ),
    urls: z
      .array(urlEntry)
      .min(1)
      .optional()
      .describe(
        'Engines that run already: they are watched and used, never started or stopped. Origin, or origin with /v1 (grpc://host:8001 is http:// for protocol kserve-grpc); or a map with `url` and what sets this engine apart: `served_model_name`, `api_key`, `max_batch_size`.',
      ),
    api_key: secret(1, 'Bearer key that the engine wants. `${NAME}` reads the environment.').optional(),
    command: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'Program and arguments that start the engine; {port}, {host}, {model}, {model_name}, {max_batch_size}, {max_seq_length}, {quantize} and {tensor_parallel_size} are filled in. No shell.',
      ),
    args: z
      .array(z.string())
      .default([])
      .describe('Further arguments for an engine that we start, in its own words, after ours.'),
    env: z
      .record(z.string(), z.string())
      .default({})
      .describe('Environment of the engine, beside PATH, HOME and the like.'),
    gpu_metrics_url: z
      .string()
      .regex(/^https?:\/\/.+/, 'expected an http address such as http://{host}:9400/metrics')
      .optional()
      .describe(
        'Where an exporter publishes load and memory of the GPUs that each engine uses, as NVIDIA DCGM names them; {host} and {port} are those of the engine.',
      ),
    max_batch_size: z
      .number()
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe(
        'Requests in flight per replica; the rest waits in our queue. Default: 16 embedded, 8 llama-server, 4 ollama, 128 tgi, 256 others.',
      ),
    batching: batchingSchema,
    max_seq_length: z
      .number()
      .int()
      .min(64)
      .max(10_000_000)
      .optional()
      .describe('Context in tokens. Default: what the model was trained for (embedded: at most 8192).'),
    quantize: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Quantization of the weights: `INT8`, `INT4` or `FP8` where the engine can, or a word of its own; upper and lower case are the same. What each engine can do: docs/engines.md.',
      ),
    tensor_parallel_size: z
      .number()
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe('GPUs that one replica is split over: vllm, sglang and tgi.'),
    threads: z
      .number()
      .int()
      .min(1)
      .max(512)
      .optional()
      .describe('Processor threads per embedded replica. Default: 1.'),
    start_timeout_ms: positiveMs(600_000, 'Longest time from start to ready.'),
    cache: z
      .strictObject({
        mode: cacheMode.optional().describe('As `cache.mode`, for this model. Default: `cache.mode`.'),
        ttl_s: cacheTtl.optional().describe('As `cache.ttl_s`, for this model. Default: `cache.ttl_s`.'),
        sampled: z
          .boolean()
          .optional()
          .describe('As `cache.sampled`, for this model. Default: `cache.sampled`.'),
        endpoints: cacheEndpoints
          .optional()
          .describe('As `cache.endpoints`, for this model. Default: `cache.endpoints`.'),
        semantic: z
          .strictObject({
            embedding_model: z
              .string()
              .min(1)
              .max(200)
              .describe(
                'The model of this system, served with embeddings, that says how near two questions are.',
              ),
            threshold: z
              .number()
              .min(0.5)
              .max(1)
              .default(0.95)
              .describe('How near (cosine) two questions must be to be given one answer.'),
          })
          .optional()
          .describe(
            'Chats only: give the answer to a question that means the same, too, where all but the last message of the user is equal. Default: off.',
          ),
        revision: z
          .string()
          .min(1)
          .max(200)
          .optional()
          .describe(
            'Any text. Change it when the weights were replaced under the same name or address, so that answers of the former ones are not found any more. All else that answers depend on is looked at anyway.',
          ),
      })
      .optional()
      .describe('Answers of this model that are given to more than one request (docs/cache.md).'),
  })
  .superRefine((model, context) => {
    if (model.urls === undefined && model.engine === 'openai' && model.command === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['urls'],
        message: 'missing: engine "openai" needs `urls:` of a running engine or a `command:` that starts one',
      });
    }
    if (model.urls !== undefined && model.command !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['command'],
        message:
          'found together with `urls`; give `urls` for engines that run already or `command` for engines to start',
      });
    }
    if (model.urls !== undefined && model.engine === 'embedded') {
      context.addIssue({
        code: 'custom',
        path: ['engine'],
        message:
          'found "embedded" with `urls`; say which engine runs there: vllm, sglang, tgi, llama-server, ollama, triton or openai',
      });
    }
    if (model.strategy === 'dynamic-weighted' && model.gpu_metrics_url === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['strategy'],
        message:
          'found "dynamic-weighted" without `gpu_metrics_url`; it weighs replicas by the load and memory of their GPUs, so say where an exporter publishes them, such as http://{host}:9400/metrics',
      });
    }
    for (const issue of tritonIssues(model)) context.addIssue({ code: 'custom', ...issue });
  });

/** Keys that only Triton's ways of speaking have, or that they have not. */
function tritonIssues(model: {
  batching?: unknown;
  engine: string;
  protocol?: string | undefined;
  chat_template?: string | undefined;
  metrics_url?: string | undefined;
  urls?: z.output<typeof urlEntry>[] | undefined;
  command?: string[] | undefined;
  model?: string | undefined;
}): { path: string[]; message: string }[] {
  const issues: { path: string[]; message: string }[] = [];
  const isTriton = model.engine === 'triton';
  const speaksKServe = isTriton && model.protocol?.startsWith('kserve-') === true;
  for (const key of ['protocol', 'metrics_url'] as const) {
    if (model[key] !== undefined && !isTriton)
      issues.push({
        path: [key],
        message: `found with engine "${model.engine}"; only engine "triton" has it`,
      });
  }
  if (model.chat_template !== undefined && !speaksKServe) {
    const found = `found with engine "${model.engine}" and protocol "${model.protocol ?? 'openai'}"`;
    const right =
      'only protocols "kserve-http" and "kserve-grpc" of engine "triton" need it, others template chats themselves';
    issues.push({ path: ['chat_template'], message: `${found}; ${right}` });
  }
  if (model.batching !== undefined && speaksKServe) {
    const found = `found with protocol "${model.protocol}"`;
    const right = 'its servers are asked input by input, and batch by themselves (dynamic_batching)';
    issues.push({ path: ['batching'], message: `${found}; ${right}` });
  }
  if (isTriton && model.urls === undefined && model.command === undefined && model.model === undefined) {
    issues.push({
      path: ['model'],
      message:
        'missing: engine "triton" needs the path of a model repository, `urls:` of running servers or a `command:`',
    });
  }
  const grpc = model.urls
    ?.map((entry) => (typeof entry === 'string' ? entry : entry.url))
    .find((url) => /^grpcs?:/.test(url));
  if (grpc !== undefined && model.protocol !== 'kserve-grpc') {
    issues.push({
      path: ['urls'],
      message: `found ${grpc}; would be right with \`protocol: kserve-grpc\` only`,
    });
  }
  return issues;
}

/** As validated, with every default filled. */
export type ModelConfig = z.output<typeof modelSchema>;
