/**
 * Rules that span several keys: names that may be given once, keys where strangers can reach us, times that must agree.
 * Run after the schema has accepted the document, so each value here has its type.
 */
import { BUILTIN_MODEL_NAME } from '../../contract/builtin-model.ts';
import type { Config } from '../../contract/config-schema.ts';
import type { EngineKind } from '../../contract/fleet.ts';
import { LORA_ENGINES } from '../../contract/lora.ts';
import { isModelAddress, modelAddressFault } from '../../drivers/engines/embedded/model-address.ts';
import type { ConfigPath, ConfigProblem } from './config-problem.ts';
import { checkEngineOptions } from './engine-option-rules.ts';
import { checkLimitCount, checkLimitedModels } from './limit-rules.ts';
import { checkInlineRecovery } from './load-recovery.ts';
import { isLoopbackHost } from './loopback.ts';
import { checkRemedyMeans } from './remedy-means-rules.ts';
import { checkTexts } from './text-rules.ts';

export interface RuleContext {
  /** How many keys AUTOGLM_API_KEYS adds. */
  environmentKeys: number;
  /** Whether the environment says where Redis is. */
  environmentRedis?: boolean;
  /** Port of the gateway that goes before the one of the file. Default: none. */
  environmentPort?: number | undefined;
  /** Whether the user wrote a value there; defaults give way to what was written instead of being a problem. */
  written(path: ConfigPath): boolean;
  /** Models were loaded and unloaded since the file was read, so a fallback may name one that is not there now. Default false. */
  modelsMayBeGone?: boolean;
}

export function checkConfigRules(config: Config, context: RuleContext): ConfigProblem[] {
  const {
    environmentKeys,
    environmentRedis = false,
    environmentPort,
    written,
    modelsMayBeGone = false,
  } = context;
  return [
    ...checkCounts(config),
    ...checkModelNames(config),
    ...checkTexts(config),
    ...checkModelSources(config),
    ...checkEngineOptions(config),
    ...checkAdapters(config),
    ...checkRemedyMeans(config),
    ...checkInlineRecovery(config),
    ...checkUrls(config),
    ...(modelsMayBeGone ? [] : [...checkFallbacks(config), ...checkEmbeddingModels(config)]),
    ...(modelsMayBeGone ? [] : checkLimitedModels(config, config.models.flatMap(namesOf))),
    ...checkLimitCount(config),
    ...checkExposure(config, environmentKeys),
    ...checkKeyNames('gateway', config.gateway.keys),
    ...checkKeyNames('admin', config.admin.keys),
    ...checkPorts(config, environmentPort),
    ...checkRedis(config, environmentRedis),
    ...checkTimes(config, written),
  ];
}

/** The tables that the threads of a gateway share have this many places. */
const MODELS_MAX = 128;
const REPLICAS_MAX = 512;

function checkCounts({ models }: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (models.length > MODELS_MAX) {
    const message = `found ${models.length} models; would be right: at most ${MODELS_MAX}; run a second `;
    problems.push({
      path: ['models', MODELS_MAX],
      message: `${message}\`autoglm serve\` with its own \`state_dir\` and ports for the others`,
    });
  }
  const replicas = models.reduce(
    (sum, { urls, replicas, standby }) => sum + (urls?.length ?? replicas + standby),
    0,
  );
  if (replicas > REPLICAS_MAX) {
    problems.push({
      path: ['models'],
      message: `found ${replicas} replicas in all (\`replicas\`, \`standby\` and \`urls\` of all models together); would be right: at most ${REPLICAS_MAX}`,
    });
  }
  return problems;
}

function checkModelNames(config: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const takenBy = new Map<string, string>();
  const claim = (name: string, path: ConfigPath, place: string) => {
    const other = takenBy.get(name);
    if (other === undefined) takenBy.set(name, place);
    else {
      const remedy = place.endsWith('model_name')
        ? 'give each model its own name; use `replicas` or several `urls` for more engines of one model'
        : place.endsWith('.name')
          ? 'give each adapter a name of its own'
          : 'leave this alias out or choose another';
      problems.push({ path, message: `found "${name}", which is taken by ${other}; ${remedy}` });
    }
  };
  for (const [index, { model_name }] of config.models.entries()) {
    claim(model_name, ['models', index, 'model_name'], `models[${index}].model_name`);
  }
  for (const [index, { lora_adapters }] of config.models.entries()) {
    for (const [position, { name }] of lora_adapters.entries()) {
      const place = `models[${index}].lora_adapters[${position}].name`;
      claim(name, ['models', index, 'lora_adapters', position, 'name'], place);
    }
  }
  for (const [index, { aliases }] of config.models.entries()) {
    for (const [position, alias] of aliases.entries()) {
      claim(alias, ['models', index, 'aliases', position], `models[${index}].aliases[${position}]`);
    }
  }
  return problems;
}

const NEED_A_MODEL: readonly EngineKind[] = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama'];

function checkModelSources(config: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [index, model] of config.models.entries()) {
    const needsModel = NEED_A_MODEL.includes(model.engine);
    const usesModel = model.command === undefined || model.command.some((part) => part.includes('{model}'));
    if (model.urls === undefined && needsModel && model.model === undefined && usesModel) {
      problems.push({
        path: ['models', index, 'model'],
        message: `missing; engine "${model.engine}" needs to be told what to load: the name or path of the model (or \`urls\` of an engine that runs already)`,
      });
    }
    // Anything else would be served the built-in model under a wrong name.
    if (
      model.engine === 'embedded' &&
      model.model_name !== BUILTIN_MODEL_NAME &&
      model.model === undefined &&
      model.urls === undefined &&
      model.command === undefined
    ) {
      problems.push({
        path: ['models', index, 'model'],
        message: `missing; "${model.model_name}" is not "${BUILTIN_MODEL_NAME}", the model that is built in, so engine "embedded" needs to be told what to load: path of a GGUF file or \`hf:\` address (or \`urls\` of an engine that runs already, or \`command\`)`,
      });
    }
    const loads =
      model.urls === undefined && (model.engine === 'embedded' || model.engine === 'llama-server');
    if (loads && model.model !== undefined && isModelAddress(model.model)) {
      const fault = modelAddressFault(model.model);
      if (fault !== undefined) problems.push({ path: ['models', index, 'model'], message: fault });
    }
    if (model.command !== undefined && !model.command.some((part) => part.includes('{port}'))) {
      problems.push({
        path: ['models', index, 'command'],
        message:
          'found no {port} in it; write {port} where the engine is told its port, such as "--port", "{port}"',
      });
    }
  }
  return problems;
}

function checkAdapters({ models }: Config): ConfigProblem[] {
  return models.flatMap(({ engine, lora_adapters, command, urls }, index) => {
    if (lora_adapters.length === 0) return [];
    const path = ['models', index, 'lora_adapters'];
    if (!LORA_ENGINES.includes(engine)) {
      const list = LORA_ENGINES.filter((kind) => kind !== 'simulator').join(', ');
      return [
        {
          path,
          message: `found ${lora_adapters.length} for engine "${engine}", which serves no adapters beside its model; would be right: one of ${list}, or a model of its own with the adapter merged in`,
        },
      ];
    }
    if (engine !== 'llama-server' || (command === undefined && urls === undefined)) return [];
    return [
      {
        path,
        message:
          'found for a llama-server that is not started by us in its usual way; it numbers its adapters at its start, so leave `command` and `urls` out, or the adapters',
      },
    ];
  });
}

function checkUrls({ models }: Config): ConfigProblem[] {
  return models.flatMap(({ urls = [] }, index) =>
    urls.flatMap((entry, position) => {
      const message = urlFault(new URL(typeof entry === 'string' ? entry : entry.url));
      const path = ['models', index, 'urls', position, ...(typeof entry === 'string' ? [] : ['url'])];
      return message === undefined ? [] : [{ path, message }];
    }),
  );
}

function checkFallbacks({ models }: Config): ConfigProblem[] {
  const names = models.flatMap(namesOf);
  return models.flatMap((model, index) =>
    model.fallbacks.flatMap((name, position) => {
      const path = ['models', index, 'fallbacks', position];
      if (namesOf(model).includes(name))
        return [{ path, message: `found "${name}", which is this model itself; name another one` }];
      if (names.includes(name)) return [];
      return [{ path, message: `found "${name}", which is no model here; known: ${names.join(', ')}` }];
    }),
  );
}

function checkEmbeddingModels({ models }: Config): ConfigProblem[] {
  const names = models.flatMap(namesOf);
  return models.flatMap(({ cache }, index) => {
    const name = cache?.semantic?.embedding_model;
    if (name === undefined || names.includes(name)) return [];
    const path = ['models', index, 'cache', 'semantic', 'embedding_model'];
    return [{ path, message: `found "${name}", which is no model here; known: ${names.join(', ')}` }];
  });
}

function urlFault(url: URL): string | undefined {
  if (url.username || url.password) {
    return 'found a user name or password in the address; put the key of the engine into `api_key`';
  }
  const rest = `${url.pathname}${url.search}${url.hash}`;
  if (/^(\/(v1\/?)?)?$/.test(rest)) return undefined;
  // `origin` is null for schemes that browsers do not know, such as grpc.
  const origin = `${url.protocol}//${url.host}`;
  return `found "${rest}" after the host; would be right: ${origin} or ${origin}/v1`;
}

function checkExposure({ gateway, admin }: Config, environmentKeys: number): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const gatewayKeys = gateway.keys.length + environmentKeys;
  if (!isLoopbackHost(gateway.host) && gatewayKeys === 0 && !gateway.allow_unauthenticated) {
    problems.push({
      path: ['gateway', 'host'],
      message: `found "${gateway.host}" without keys, so anyone who reaches this machine could use the models; add \`gateway.keys\`, set AUTOGLM_API_KEYS, listen on 127.0.0.1, or set \`gateway.allow_unauthenticated: true\` behind something that authenticates`,
    });
  }
  if (!isLoopbackHost(admin.host) && admin.keys.length === 0) {
    problems.push({
      path: ['admin', 'host'],
      message: `found "${admin.host}" without \`admin.keys\`, so anyone who reaches this machine could stop the engines; add \`admin.keys\` or listen on 127.0.0.1`,
    });
  }
  return problems;
}

function checkKeyNames(section: 'gateway' | 'admin', keys: readonly { name: string }[]): ConfigProblem[] {
  const seen = new Map<string, number>();
  return keys.flatMap(({ name }, index) => {
    const other = seen.get(name);
    seen.set(name, other ?? index);
    if (other === undefined) return [];
    const message = `found "${name}", which is taken by ${section}.keys[${other}].name; give each key its own name`;
    return [{ path: [section, 'keys', index, 'name'], message }];
  });
}

function checkPorts({ gateway, admin }: Config, environmentPort: number | undefined): ConfigProblem[] {
  if (environmentPort !== undefined) {
    if (environmentPort === 0 || environmentPort !== admin.port) return [];
    const message = `found ${environmentPort}, which is also admin.port; give each its own port, or 0 for a free one`;
    return [{ path: ['gateway', 'port'], message, from: 'environment variable PORT' }];
  }
  if (gateway.port === 0 || gateway.port !== admin.port) return [];
  const message = `found ${admin.port}, which is also gateway.port; give each its own port, or 0 for a free one`;
  return [{ path: ['admin', 'port'], message }];
}

/** Whether anything in the configuration uses Redis. */
export function usesRedis({ cache, limits }: Pick<Config, 'cache' | 'limits'>): boolean {
  return cache.store === 'redis' || limits.store === 'redis';
}

function checkRedis(config: Config, environmentRedis: boolean): ConfigProblem[] {
  if (!usesRedis(config) || config.redis.url !== undefined || environmentRedis) return [];
  const message =
    'found "redis" without an address; set `redis.url` or the environment variable REDIS_URL, or leave `store` out';
  const section = config.cache.store === 'redis' ? 'cache' : 'limits';
  return [{ path: [section, 'store'], message }];
}

interface TimeRule {
  path: readonly [string, string];
  value: number;
  limitName: string;
  limit: number;
  why: string;
}

function timeRules({ timeouts, gateway, supervisor }: Config): TimeRule[] {
  const limitName = 'timeouts.inference_timeout_ms';
  const limit = timeouts.inference_timeout_ms;
  const why = 'it is a part of the whole';
  return [
    {
      path: ['timeouts', 'connect_ms'],
      value: timeouts.connect_ms,
      limitName: 'timeouts.first_token_ms',
      limit: timeouts.first_token_ms,
      why: 'the first token cannot come before the connection',
    },
    { path: ['timeouts', 'first_token_ms'], value: timeouts.first_token_ms, limitName, limit, why },
    { path: ['timeouts', 'stall_ms'], value: timeouts.stall_ms, limitName, limit, why },
    { path: ['gateway', 'queue_timeout_ms'], value: gateway.queue_timeout_ms, limitName, limit, why },
    {
      path: ['supervisor', 'probe_timeout_ms'],
      value: supervisor.probe_timeout_ms,
      limitName: 'supervisor.probe_interval_ms',
      limit: supervisor.probe_interval_ms,
      why: 'a probe must end before the next begins',
    },
    {
      path: ['supervisor', 'backoff_initial_ms'],
      value: supervisor.backoff_initial_ms,
      limitName: 'supervisor.backoff_max_ms',
      limit: supervisor.backoff_max_ms,
      why: 'the wait starts there and grows',
    },
  ];
}

/** Intervals that contradict each other would make a limit that can never act. */
function checkTimes(config: Config, written: RuleContext['written']): ConfigProblem[] {
  return timeRules(config)
    .filter(({ path, value, limit }) => value > limit && written(path))
    .map(({ path, value, limit, limitName, why }) => ({
      path,
      message: `found ${value}; would be right: at most ${limit}, the value of ${limitName}, because ${why}`,
    }));
}

/** Every name that clients may use. */
function namesOf({ model_name, aliases, lora_adapters }: Config['models'][number]): string[] {
  return [model_name, ...aliases, ...lora_adapters.map(({ name }) => name)];
}
