/** What of a LiteLLM file has no effect here, with its place and the reason. Values are never shown: they may be secrets. */
import type { LocatedMap, Place } from './located.ts';

export interface NotHonoured extends Place {
  reason: string;
}

/** Why a key has no effect, by its name; longest match of the path's end wins. */
const REASONS: Readonly<Record<string, string>> = {
  order: 'all engines of a group count alike; use `fallbacks` for an order between models',
  timeout: 'limits of time are the same for all models: `timeouts.inference_timeout_ms`',
  stream_timeout: 'limits of time are the same for all models: `timeouts.first_token_ms`',
  max_retries: 'further attempts are the same for all models: `gateway.retry_attempts`',
  num_retries: 'further attempts are the same for all models: `gateway.retry_attempts`',
  model_info: 'it describes the model and changes nothing in how it is served',
  tags: 'requests are not routed by tags',
  drop_params: 'fields go to the engine as they came',
  modify_params: 'fields go to the engine as they came',
  additional_drop_params: 'fields go to the engine as they came',
  input_cost_per_token: 'costs are not counted',
  output_cost_per_token: 'costs are not counted',
  callbacks: 'there are no callbacks; requests are logged as JSON lines and counted in /metrics',
  success_callback: 'there are no callbacks; requests are logged as JSON lines and counted in /metrics',
  failure_callback: 'there are no callbacks; requests are logged as JSON lines and counted in /metrics',
  set_verbose: 'what is logged is fixed: one JSON line per request, without content',
  json_logs: 'logs are JSON lines already',
  database_url: 'no database is needed: state is kept in `state_dir`',
  store_model_in_db: 'models stand in this file',
  routing_strategy_args: 'strategies have no arguments here',
  allowed_fails_policy: 'all failures of an engine count alike: `gateway.breaker_failures`',
  retry_policy:
    'all failures of an engine are treated alike: `gateway.retry_attempts`, `gateway.retry_budget`',
  model_group_retry_policy: 'further attempts are the same for all models: `gateway.retry_attempts`',
  disable_cooldowns: '`gateway.breaker_failures: 0` and `gateway.ejection_ms: 0` leave no engine out',
  max_parallel_requests: 'limits are those of keys and models: `gateway.keys[].limits`, `models[].limits`',
  global_max_parallel_requests:
    'limits are those of keys and models: `gateway.keys[].limits`, `models[].limits`',
  default_key_generate_params: 'keys stand in this file, with their limits: `gateway.keys[].limits`',
  upperbound_key_generate_params: 'keys stand in this file, with their limits: `gateway.keys[].limits`',
  default_internal_user_params: 'there are keys, and no users: `gateway.keys[].limits`',
  default_team_settings: 'there are keys, and no teams: `gateway.keys[].limits`',
  max_budget: 'costs are not counted',
  budget_duration: 'costs are not counted',
  context_window_fallbacks: 'a prompt that is too long is the error of the engine, which goes to the client',
  content_policy_fallbacks: 'answers are not checked against content policies',
  guardrails: 'content is not checked',
  mcp_servers: 'tools are not run by the gateway',
  alerting: 'there are no alerts of this kind; the metrics and `autoglm status` show the same facts',
};

export function notHonoured(key: string, place: Place): NotHonoured {
  return { ...place, reason: REASONS[key] ?? 'there is nothing like it here' };
}

/** All keys of a map that nobody read. */
export function leftOver(map: LocatedMap | undefined): NotHonoured[] {
  return (map?.rest() ?? []).map(({ key, place }) => notHonoured(key, place));
}

export function showNotHonoured({ file, line, column, path, reason }: NotHonoured): string {
  return `${file}:${line}:${column}: ${path}: ${reason}`;
}
