/** What of a LiteLLM file has no effect here, with its place and the reason. Values are never shown: they may be secrets. */
import type { LocatedMap, Place } from './located.ts';

export interface NotHonoured extends Place {
  reason: string;
}

/** Why a key has no effect, by its name; longest match of the path's end wins. */
const REASONS: Readonly<Record<string, string>> = {
  weight: 'all engines of a group count alike; the one with the fewest requests in flight is asked',
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
  cache: 'answers are not cached',
  cache_params: 'answers are not cached',
  callbacks: 'there are no callbacks; requests are logged as JSON lines and counted in /metrics',
  success_callback: 'there are no callbacks; requests are logged as JSON lines and counted in /metrics',
  failure_callback: 'there are no callbacks; requests are logged as JSON lines and counted in /metrics',
  set_verbose: 'what is logged is fixed: one JSON line per request, without content',
  json_logs: 'logs are JSON lines already',
  database_url: 'no database is needed: state is kept in `state_dir`',
  store_model_in_db: 'models stand in this file',
  redis_host: 'state is not shared through Redis',
  redis_port: 'state is not shared through Redis',
  redis_password: 'state is not shared through Redis',
  redis_url: 'state is not shared through Redis',
  allowed_fails:
    'a replica leaves rotation at its first lost connection, and after `supervisor.probe_failures` failed probes',
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
