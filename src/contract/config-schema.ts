/**
 * `autoglm.yaml`: one zod schema gives the type, the JSON Schema for editors and the reference page. Keys are strict and in
 * snake_case, units come last. Loaded only by processes that read files, never by gateway workers.
 */
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import { BUILTIN_MODEL_NAME } from './builtin-model.ts';
import { cacheEndpoints, cacheMode, cacheTtl, milliseconds, positiveMs, secret } from './config-values.ts';
import { CACHE_ENDPOINTS } from './fleet.ts';
import { keyLimitsSchema } from './limits-schema.ts';
import { modelSchema } from './model-schema.ts';
import { recoveryFileSchema } from './recovery-policy-schema.ts';
import { DEFAULT_PRIORITY, PRIORITY_NAMES } from './scheduling.ts';

const keyList = (text: string) =>
  z
    .array(
      z.strictObject({
        name: z.string().min(1).max(200).describe('Whose key it is; appears in logs.'),
        key: secret(8, 'The key itself, at least 8 characters. `${NAME}` reads the environment.'),
      }),
    )
    .max(10_000)
    .default([])
    .describe(text);

const clientKeys = z
  .array(
    z.strictObject({
      name: z
        .string()
        .min(1)
        .max(200)
        .describe('Whose key it is; appears in logs, and is whom queue and limits are fair to.'),
      key: secret(8, 'The key itself, at least 8 characters. `${NAME}` reads the environment.'),
      weight: z
        .number()
        .min(0.01)
        .max(1000)
        .default(1)
        .describe('Share of served tokens against other keys while requests wait.'),
      priority: z
        .enum(PRIORITY_NAMES)
        .default(DEFAULT_PRIORITY)
        .describe(
          'Of its requests in the queue. A request may ask for less urgency with the header `x-autoglm-priority`, never for more.',
        ),
      limits: keyLimitsSchema,
      explain: z
        .boolean()
        .default(false)
        .describe(
          'Whether it may see how requests are shared out: the header `x-autoglm-explain`, and /autoglm/scheduling.',
        ),
    }),
  )
  .max(10_000)
  .default([])
  .describe('Keys that clients may use. AUTOGLM_API_KEYS (comma-separated) adds to them.');

const seconds = (standard: number, text: string) =>
  z.number().min(1).max(2_592_000).default(standard).describe(`${text} Seconds.`);

const port = z.number().int().min(0).max(65535);

export const configSchema = z.strictObject({
  state_dir: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Records, logs and sockets. Default: $AUTOGLM_STATE_DIR, else $XDG_STATE_HOME/autoglm, else ~/.local/state/autoglm.',
    ),
  gateway: z
    .strictObject({
      host: z
        .string()
        .default('127.0.0.1')
        .describe(
          'Address to listen on. Any address but loopback needs keys. The environment variable AUTOGLM_HOST goes before this.',
        ),
      port: port
        .default(8080)
        .describe('0 chooses a free port. The environment variable PORT goes before this.'),
      workers: z
        .number()
        .int()
        .min(1)
        .max(128)
        .optional()
        .describe('Worker threads. Default: processor cores, at least 2.'),
      keys: clientKeys,
      allow_unauthenticated: z
        .boolean()
        .default(false)
        .describe(
          'Serve without keys on an address that is not loopback. Only behind something that authenticates.',
        ),
      body_bytes_max: z
        .number()
        .int()
        .min(1024)
        .max(1_073_741_824)
        .default(8_388_608)
        .describe('Largest request body, bytes.'),
      queue_size: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .default(1024)
        .describe(
          'Requests that may wait, per model. From 80 % on, those that are least urgent are refused with 429 and a Retry-After that can be kept.',
        ),
      queue_adaptive: z
        .boolean()
        .default(true)
        .describe(
          'Whether queues are made shorter, down to a tenth, while the gateway itself can not keep up: its event loops stall, its processors are all in use, or requests wait nearly as long as they may.',
        ),
      queue_timeout_ms: positiveMs(30_000, 'Longest wait in the queue.'),
      retry_attempts: z
        .number()
        .int()
        .min(0)
        .max(5)
        .default(2)
        .describe('Further attempts before the first token.'),
      retry_budget: z
        .number()
        .min(0)
        .max(1)
        .default(0.2)
        .describe('Share of requests in flight that may be retries.'),
      continuations: z
        .number()
        .int()
        .min(0)
        .max(10)
        .default(3)
        .describe('Times one stream may be continued on another replica.'),
      breaker_failures: z
        .number()
        .int()
        .min(0)
        .max(1000)
        .default(5)
        .describe(
          'Failed attempts in a row after which a replica is left out, for 5 s the first time and longer after that, until one request shows that it is well. At least half of the replicas of a model stay in. 0: never.',
        ),
      slow_start_ms: z
        .number()
        .int()
        .min(0)
        .max(3_600_000)
        .default(10_000)
        .describe(
          'A replica that comes back while others serve takes a tenth of its requests at first, and all after so long. Milliseconds; 0: all at once.',
        ),
      straggler_weights: z
        .boolean()
        .default(true)
        .describe(
          'A replica that takes longer for a token than its peers, by more than one standard deviation and a tenth, gets fewer requests, in proportion.',
        ),
      ejection_ms: z
        .number()
        .int()
        .min(0)
        .max(60_000)
        .default(500)
        .describe('How long a replica that refused or lost a connection gets nothing new. Milliseconds.'),
      keep_alive_ms: z
        .number()
        .int()
        .min(0)
        .max(3_600_000)
        .default(10_000)
        .describe(
          'A stream whose first token is late gets its headers and a comment each time so long has passed without a byte, so that proxies and clients do not give it up. Milliseconds; 0: none.',
        ),
      replay_bytes_max: z
        .number()
        .int()
        .min(65_536)
        .max(1_073_741_824)
        .default(4_194_304)
        .describe('Bytes of a stream kept for its continuation.'),
      responses_ttl_h: z
        .number()
        .min(0)
        .max(87_600)
        .default(720)
        .describe('How long a response that was stored can be read and continued. 0 stores none. Hours.'),
      responses_bytes_max: z
        .number()
        .int()
        .min(1_048_576)
        .max(1_099_511_627_776)
        .default(1_073_741_824)
        .describe('Stored responses together; the oldest give way. Bytes.'),
      idempotency_ttl_h: z
        .number()
        .min(0)
        .max(8_760)
        .default(24)
        .describe(
          'How long the answer to a request with an `Idempotency-Key` is kept. 0 ignores such keys. Hours.',
        ),
      idempotency_bytes_max: z
        .number()
        .int()
        .min(1_048_576)
        .max(1_099_511_627_776)
        .default(268_435_456)
        .describe('Answers kept under an `Idempotency-Key` together; the oldest give way. Bytes.'),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      connect_ms: positiveMs(5_000, 'Longest connect to an engine.'),
      first_token_ms: positiveMs(300_000, 'From the start of an attempt to its first token.'),
      stall_ms: positiveMs(60_000, 'Longest silence inside an answer.'),
      inference_timeout_ms: positiveMs(3_600_000, 'From admission to the end of the answer.'),
      write_stall_ms: positiveMs(30_000, 'A client that reads nothing for so long is dropped.'),
      drain_ms: positiveMs(30_000, 'How long a stopping process waits for what runs.'),
    })
    .prefault({}),
  files: z
    .strictObject({
      file_bytes_max: z
        .number()
        .int()
        .min(1024)
        .max(1_099_511_627_776)
        .default(209_715_200)
        .describe('Largest file that a client may upload, bytes.'),
      total_bytes_max: z
        .number()
        .int()
        .min(1024)
        .max(1_125_899_906_842_624)
        .default(10_737_418_240)
        .describe(
          'All files together, bytes. Beyond it uploads are refused; files that batches write are written all the same.',
        ),
      batch_ttl_h: z
        .number()
        .min(0.01)
        .max(87_600)
        .default(720)
        .describe('How long files for batches are kept when the upload names no time. Hours.'),
    })
    .prefault({}),
  batches: z
    .strictObject({
      window_ms: positiveMs(86_400_000, 'How long a batch has, whatever `completion_window` says.'),
      lines_max: z.number().int().min(1).max(1_000_000).default(50_000).describe('Lines of one batch.'),
      open_max: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(100)
        .describe('Batches that one key may have running or waiting.'),
      in_flight: z
        .number()
        .int()
        .min(1)
        .max(4096)
        .default(64)
        .describe('Lines of all batches together that may be under way at once.'),
      line_timeout_ms: milliseconds
        .optional()
        .describe(
          'From the sending of a line to the end of its answer; one that has none by then is tried again, three times in all. Default: a minute more than `timeouts.inference_timeout_ms`, by which the gateway ends it itself. Milliseconds, 1 to 86400000.',
        ),
      filler_share: z
        .number()
        .min(0)
        .max(1)
        .default(0.5)
        .describe(
          "Share of a replica's places left free by clients that lines of batches may fill. 0: only replicas that are idle.",
        ),
    })
    .prefault({}),
  cache: z
    .strictObject({
      mode: cacheMode
        .default('never')
        .describe(
          'Whether answers are given to more than one request (docs/cache.md). by-header: to requests that say so with `x-autoglm-cache: on`; always: to all whose answer would be the same, unless they say otherwise.',
        ),
      cache_capacity_gb: z
        .number()
        .min(0.001)
        .max(1024)
        .default(0.25)
        .describe(
          'Answers kept in the memory of a gateway process; what was used longest ago goes first. GB.',
        ),
      store: z
        .enum(['memory', 'redis'])
        .default('memory')
        .describe(
          'redis: gateways that use the same Redis (`redis.url`) share their answers; each keeps those that it gave last in its memory too.',
        ),
      ttl_s: cacheTtl.default(3600).describe('How long an answer is kept. Seconds.'),
      sampled: z
        .boolean()
        .default(false)
        .describe(
          'Keep answers that chance decides (no temperature 0, no seed that the engine honours) too: who asks again gets the same one.',
        ),
      endpoints: cacheEndpoints
        .default([...CACHE_ENDPOINTS])
        .describe('Whose answers are kept. Messages and responses of the other APIs count as chat.'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      store: z
        .enum(['memory', 'redis'])
        .default('memory')
        .describe(
          'redis: gateways that use the same Redis (`redis.url`) keep to limits of requests and tokens together. memory: each gateway keeps to them for itself.',
        ),
    })
    .prefault({})
    .describe('Where limits of keys and models are counted (docs/limits.md).'),
  redis: z
    .strictObject({
      url: z
        .string()
        .max(4096)
        .regex(/^(rediss?:\/\/.+)?$/, 'expected an address such as redis://user:password@host:6379')
        .transform((written) => (written === '' ? undefined : new Secret(written)))
        .optional()
        .describe(
          'Address of the Redis that gateways of several machines share. Default: the environment variable REDIS_URL, or REDIS_HOST with REDIS_PORT, REDIS_USERNAME and REDIS_PASSWORD. Alone it does nothing: what uses it says so.',
        ),
      deadline_ms: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(50)
        .describe(
          'Longest wait for an answer of Redis. Without one, requests go on as if there were no Redis. Milliseconds.',
        ),
      key_prefix: z
        .string()
        .regex(/^[\w.{}:-]{1,64}$/, 'expected 1 to 64 letters, digits or . _ - : { }')
        .default('autoglm')
        .describe(
          'Begins the name of every key in Redis. Installations that share a Redis but nothing else have different ones.',
        ),
    })
    .prefault({}),
  admin: z
    .strictObject({
      host: z
        .string()
        .default('127.0.0.1')
        .describe('Address of admin API and status page. Any address but loopback needs `admin.keys`.'),
      port: port.default(8081).describe('0 chooses a free port.'),
      keys: keyList(
        'Keys for the admin API, the status page and `/metrics`. Empty: none is needed, which only loopback allows.',
      ),
    })
    .prefault({}),
  quarantine: z
    .strictObject({
      enabled: z
        .boolean()
        .default(true)
        .describe(
          'Whether requests that were in flight when engines died are sent again with care, and refused when they kill more of them (docs/suspects.md).',
        ),
      suspect_ttl_s: seconds(
        600,
        'How long a request is suspected after a crash, if it does not end well before.',
      ),
      hold_ttl_s: seconds(
        600,
        'How long a request is refused that was present at crashes of two replicas and could not be tried alone.',
      ),
      convict_ttl_s: seconds(
        3600,
        'How long a request is refused that killed a replica while it was alone there.',
      ),
    })
    .prefault({})
    .describe('Of requests that may kill engines.'),
  signals: z
    .strictObject({
      kernel_log: z
        .string()
        .min(1)
        .max(4096)
        .optional()
        .describe(
          'Where lines of the kernel are read from, such as Xid errors of GPUs: a device as /dev/kmsg is, or a file that grows. Default: /dev/kmsg, else the output of `dmesg --follow`.',
        ),
      nvidia_smi: z
        .string()
        .min(1)
        .max(4096)
        .default('nvidia-smi')
        .describe('Program that is asked about GPUs of NVIDIA; a name in PATH, or a path.'),
      docker_socket: z
        .string()
        .min(1)
        .max(4096)
        .optional()
        .describe(
          'Unix socket of a container engine with the API of Docker, such as /var/run/docker.sock: says why a container of an engine ended. Default: none is asked.',
        ),
    })
    .prefault({})
    .describe('Where engines are looked at from outside (docs/signals.md).'),
  signal_sources: z
    .array(z.string().min(1).max(4096))
    .max(32)
    .default([])
    .describe(
      'Modules of your own that look at engines too, such as ./my-source.mjs; each exports `createSignalSource` (docs/signals.md). They run with the rights of the node process.',
    ),
  evidence: z
    .strictObject({
      bytes_max: z
        .number()
        .int()
        .min(1_048_576)
        .max(1_099_511_627_776)
        .default(268_435_456)
        .describe(
          'All bundles of evidence together. Beyond it the oldest is deleted, but never one of an incident that is open. Bytes.',
        ),
      bundles_max: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(50)
        .describe('Bundles that are kept, in the same way.'),
      deadline_ms: z
        .number()
        .int()
        .min(200)
        .max(10_000)
        .default(1500)
        .describe(
          'Longest that taking one may last: an engine that is to be ended waits for it, though no longer than the supervisor lets it. What is not had by then is left out. Milliseconds.',
        ),
      prompts: z
        .boolean()
        .default(false)
        .describe('Whether texts of requests may be kept in it, where the log of an engine has them.'),
    })
    .prefault({})
    .describe('What is kept of an engine when something is found wrong with it (docs/incidents.md).'),
  supervisor: z
    .strictObject({
      restarts_max: z
        .number()
        .int()
        .min(1)
        .max(1000)
        .default(5)
        .describe('Restarts of a replica within the window before quarantine.'),
      restart_window_ms: positiveMs(60_000, 'The window of `restarts_max`.'),
      backoff_initial_ms: positiveMs(
        500,
        'Wait before the first restart; doubles each time, with jitter of 20 %.',
      ),
      backoff_max_ms: positiveMs(
        30_000,
        'Longest wait before a restart. A replica that stayed ready for so long begins with the shortest again.',
      ),
      probe_interval_ms: positiveMs(5_000, 'Time between health probes of a ready replica.'),
      probe_timeout_ms: positiveMs(2_000, 'Longest wait for a health probe.'),
      probe_failures: z
        .number()
        .int()
        .min(1)
        .max(100)
        .default(3)
        .describe('Failed probes in a row before a replica leaves rotation.'),
    })
    .prefault({}),
  auto_recovery: z
    .union([z.string().min(1), recoveryFileSchema])
    .optional()
    .describe(
      'How faults of engines are found and answered (docs/auto-recovery.md): a map with `monitoring` and `recovery`, or the path of a file that has them, relative to this one. Default: the file auto-recovery.yaml beside this one, where there is one; else the defaults.',
    ),
  models: z
    .array(modelSchema)
    .min(1)
    .prefault([{ model_name: BUILTIN_MODEL_NAME, engine: 'embedded', replicas: 2 }])
    .describe('The models to serve. Default: the built-in demo model, two replicas.'),
});

/** What the user wrote, validated, with every default filled. */
export type Config = z.output<typeof configSchema>;
/** What a user may write. */
export type ConfigInput = z.input<typeof configSchema>;
