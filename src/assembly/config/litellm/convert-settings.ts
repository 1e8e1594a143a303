/** `router_settings`, `litellm_settings` and `general_settings` to ours, as far as they mean something here. */
import type { ConfigInput } from '../../../contract/config-schema.ts';
import { numberFrom, textFrom } from '../../../wire/json/scalars.ts';
import { convertCache } from './convert-cache.ts';
import type { ModelInput } from './convert-models.ts';
import { ROUTER_REDIS, takeRedis } from './convert-redis.ts';
import { isMap, type LocatedMap } from './located.ts';
import { leftOver, type NotHonoured } from './not-honoured.ts';
import type { LiteLlmFile } from './read-litellm.ts';
import type { References } from './references.ts';

const RETRIES_MAX = 5;
const EJECTION_MS_MAX = 60_000;
const TIMEOUT_MS_MAX = 86_400_000;
const KEY_CHARACTERS_MIN = 8;
const BREAKER_FAILURES_MAX = 1_000;
const WINDOW_MAX = 4_096;

/** What LiteLLM can route by and we do not. */
const OTHER_STRATEGIES: Readonly<Record<string, string>> = {
  'usage-based-routing': 'the tokens that an engine was given in this minute do not decide',
  'usage-based-routing-v2': 'the tokens that an engine was given in this minute do not decide',
  'latency-based-routing':
    'the time that an engine took lately decides only where it is slower than its peers (`gateway.straggler_weights`)',
  'cost-based-routing': 'costs are not counted',
  'provider-budget-routing': 'budgets are not counted',
};

/** Adds what the settings say to `config` and to the models in it; returns what they say in vain. */
export function convertSettings(
  file: LiteLlmFile,
  config: ConfigInput,
  references: References,
): NotHonoured[] {
  const { routerSettings, litellmSettings, generalSettings } = file;
  const conversion = new SettingsConversion(config, references);
  // LiteLLM's router goes before its module settings where both say the same.
  for (const section of [litellmSettings, routerSettings]) {
    if (section === undefined) continue;
    conversion.retries(section);
    conversion.timeouts(section);
    conversion.fallbacks(section);
    conversion.allowedFails(section);
  }
  if (routerSettings !== undefined) {
    conversion.strategy(routerSettings);
    conversion.cooldown(routerSettings);
    conversion.aliases(routerSettings);
    conversion.windows(routerSettings);
    conversion.sharedLimits(routerSettings);
  }
  if (litellmSettings !== undefined) conversion.cache(litellmSettings);
  if (generalSettings !== undefined) conversion.masterKey(generalSettings);
  return [
    ...conversion.notes,
    ...leftOver(routerSettings),
    ...leftOver(litellmSettings),
    ...leftOver(generalSettings),
  ];
}

class SettingsConversion {
  readonly notes: NotHonoured[] = [];
  readonly #config: ConfigInput;
  readonly #references: References;

  constructor(config: ConfigInput, references: References) {
    this.#config = config;
    this.#references = references;
  }

  retries(section: LocatedMap): void {
    const count = section.take('num_retries');
    if (count === undefined) return;
    if (!isCount(count)) return this.#note(section, 'num_retries', 'would be right: a whole number');
    if (count > RETRIES_MAX)
      this.#note(section, 'num_retries', `at most ${RETRIES_MAX} further attempts are made, not ${count}`);
    this.#gateway().retry_attempts = Math.min(count, RETRIES_MAX);
  }

  timeouts(section: LocatedMap): void {
    this.#time(section, 'timeout', 'inference_timeout_ms');
    this.#time(section, 'request_timeout', 'inference_timeout_ms');
    this.#time(section, 'stream_timeout', 'first_token_ms');
  }

  #time(section: LocatedMap, key: string, ours: 'inference_timeout_ms' | 'first_token_ms'): void {
    const seconds = section.take(key);
    if (seconds === undefined) return;
    const ms = Math.round(numberFrom(seconds) * 1000);
    if (!(ms >= 1)) return this.#note(section, key, 'would be right: seconds, more than 0');
    this.#config.timeouts = { ...this.#config.timeouts, [ours]: Math.min(ms, TIMEOUT_MS_MAX) };
  }

  /** Where there is the equal, it is that; else engines with the fewest requests in flight are asked, and the reason is said. */
  strategy(section: LocatedMap): void {
    const written = section.take('routing_strategy');
    if (written === undefined || written === 'least-busy') return;
    if (written === 'simple-shuffle') {
      for (const model of this.#config.models ?? []) model.strategy = 'round-robin';
      return;
    }
    const name = textFrom(written);
    const reason = Object.hasOwn(OTHER_STRATEGIES, name)
      ? OTHER_STRATEGIES[name]
      : 'there is no such strategy';
    this.#note(
      section,
      'routing_strategy',
      `${reason}; the engine with the fewest requests in flight is asked (least-connections)`,
    );
  }

  /** LiteLLM leaves a deployment out when it failed more often than that in a minute, we when it did so in a row. */
  allowedFails(section: LocatedMap): void {
    const count = section.take('allowed_fails');
    if (count === undefined) return;
    if (!isCount(count)) return this.#note(section, 'allowed_fails', 'would be right: a whole number');
    this.#gateway().breaker_failures = Math.min(count + 1, BREAKER_FAILURES_MAX);
  }

  /** Of deployments that say nothing themselves. */
  windows(section: LocatedMap): void {
    const count = section.take('default_max_parallel_requests');
    if (count === undefined) return;
    if (!isCount(count) || count < 1 || count > WINDOW_MAX)
      return this.#note(
        section,
        'default_max_parallel_requests',
        `would be right: an integer from 1 to ${WINDOW_MAX}`,
      );
    for (const model of this.#config.models ?? []) model.max_batch_size ??= count;
  }

  /** The router's Redis is where LiteLLM counts what deployments use, over all its processes. */
  sharedLimits(section: LocatedMap): void {
    const keys = Object.values(ROUTER_REDIS);
    if (!section.keys.some((key) => keys.includes(key))) return;
    takeRedis(section, ROUTER_REDIS, {
      config: this.#config,
      references: this.#references,
      notes: this.notes,
    });
    this.#config.limits = { store: 'redis' };
  }

  cache(section: LocatedMap): void {
    convertCache(section, {
      config: this.#config,
      references: this.#references,
      notes: this.notes,
      isModel: (name) => this.#model(name) !== undefined,
    });
  }

  cooldown(section: LocatedMap): void {
    const seconds = section.take('cooldown_time');
    if (seconds === undefined) return;
    const ms = Math.round(numberFrom(seconds) * 1000);
    if (!(ms >= 0)) return this.#note(section, 'cooldown_time', 'would be right: seconds');
    if (ms > EJECTION_MS_MAX)
      this.#note(section, 'cooldown_time', `an engine is left alone for at most ${EJECTION_MS_MAX / 1000} s`);
    this.#gateway().ejection_ms = Math.min(ms, EJECTION_MS_MAX);
  }

  /** `[{a: [b, c]}]`, and `default_fallbacks: [d]` for every other model. */
  fallbacks(section: LocatedMap): void {
    const { maps, others } = section.maps('fallbacks');
    for (const place of others)
      this.notes.push({ ...place, reason: 'would be right: a map of one model to others' });
    for (const map of maps) {
      for (const name of map.keys) {
        const to = map.take(name);
        const model = this.#model(name);
        if (model === undefined) this.#note(map, name, `there is no model "${name}" here`);
        else
          this.#addFallbacks(model, Array.isArray(to) ? to : [to], (reason) => this.#note(map, name, reason));
      }
    }
    const general = section.take('default_fallbacks');
    if (!Array.isArray(general)) {
      if (general !== undefined) this.#note(section, 'default_fallbacks', 'would be right: a list of models');
      return;
    }
    for (const model of this.#config.models ?? []) {
      const others = general.filter((name) => name !== model.model_name);
      this.#addFallbacks(model, others, (reason) => this.#note(section, 'default_fallbacks', reason));
    }
  }

  #addFallbacks(model: ModelInput, names: readonly unknown[], note: (reason: string) => void): void {
    for (const name of names) {
      const target = typeof name === 'string' ? this.#model(name) : undefined;
      if (target === undefined)
        note(
          typeof name === 'string'
            ? `there is no model "${name}" here`
            : 'only names of models are fallbacks',
        );
      else if (target !== model && model.fallbacks?.includes(name as string) !== true)
        model.fallbacks = [...(model.fallbacks ?? []), name as string];
    }
  }

  aliases(section: LocatedMap): void {
    const aliases = section.map('model_group_alias');
    for (const alias of aliases?.keys ?? []) {
      const written = aliases?.take(alias);
      const name = isMap(written) ? written.model : written;
      const model = typeof name === 'string' ? this.#model(name) : undefined;
      const taken = this.#model(alias) !== undefined;
      if (aliases === undefined) continue;
      if (model === undefined) this.#note(aliases, alias, `there is no model "${textFrom(name)}" here`);
      else if (taken) this.#note(aliases, alias, `"${alias}" is the name of a model here`);
      else model.aliases = [...(model.aliases ?? []), alias];
      if (isMap(written) && written.hidden === true)
        this.#note(aliases, alias, '`hidden`: GET /v1/models lists aliases too');
    }
  }

  masterKey(section: LocatedMap): void {
    const written = section.take('master_key');
    if (written === undefined) return;
    const key = this.#references.text(textFrom(written));
    if (!key.includes('${') && key.length < KEY_CHARACTERS_MIN) {
      return this.#note(
        section,
        'master_key',
        `keys have at least ${KEY_CHARACTERS_MIN} characters; until there is one, everybody on this machine is let in, and nobody else`,
      );
    }
    const keys = [{ name: 'master_key', key }];
    this.#gateway().keys = keys;
    this.#config.admin = { ...this.#config.admin, keys };
  }

  #model(name: string): ModelInput | undefined {
    return this.#config.models?.find(
      ({ model_name, aliases }) => model_name === name || aliases?.includes(name),
    );
  }

  #gateway(): NonNullable<ConfigInput['gateway']> {
    this.#config.gateway ??= {};
    return this.#config.gateway;
  }

  #note(section: LocatedMap, key: string, reason: string): void {
    this.notes.push({ ...section.place(key), reason });
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}
