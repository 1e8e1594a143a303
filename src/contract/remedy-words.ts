/** The words by which `auto-recovery.yaml` may call a remedy: its name, or one that the field uses for the same. */
import { REMEDY_NAMES, type Remedy } from './remedies.ts';

export const REMEDY_SYNONYMS: Readonly<Record<string, Remedy>> = {
  none: 'observe',
  ignore: 'observe',
  log: 'observe',
  monitor: 'observe',
  cancel_request: 'abort_request',
  interrupt_request: 'abort_request',
  throttle: 'shed_load',
  reduce_load: 'shed_load',
  reduce_concurrency: 'shed_load',
  clear_cache: 'clear_caches',
  flush_cache: 'clear_caches',
  empty_cache: 'clear_caches',
  clear_queue: 'clear_queue_and_reset',
  reset_scheduler: 'clear_queue_and_reset',
  interrupt_pending_requests: 'clear_queue_and_reset',
  restart: 'restart_process',
  restart_engine: 'restart_process',
  retry: 'restart_process',
  retry_with_backoff: 'restart_process',
  degrade: 'restart_safer',
  reduce_batch_size: 'restart_safer',
  restart_degraded: 'restart_safer',
  fallback: 'fallback_path',
  switch_to_fallback: 'fallback_path',
  use_fallback_path: 'fallback_path',
  failover: 'move_to_standby',
  fail_over: 'move_to_standby',
  switch_to_standby: 'move_to_standby',
  switchover: 'move_to_standby',
  rebuild: 'rebuild_elsewhere',
  migrate: 'rebuild_elsewhere',
  isolate: 'quarantine',
  disable: 'quarantine',
  alert: 'page',
  notify: 'page',
  escalate: 'page',
  shutdown: 'safe_shutdown',
  graceful_shutdown: 'safe_shutdown',
};

export const REMEDY_WORDS = [...REMEDY_NAMES, ...Object.keys(REMEDY_SYNONYMS)];

export function remedyNamed(word: string): Remedy {
  return REMEDY_SYNONYMS[word] ?? (word as Remedy);
}
