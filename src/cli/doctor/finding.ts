/** What one check of `autoglm doctor` found. */
import type { LoadedConfig } from '../../assembly/config/load-config.ts';
import type { ResolvedConfig } from '../../assembly/config/resolve-config.ts';

export interface Finding {
  check: string;
  level: 'ok' | 'warn' | 'fail';
  /** What was found. */
  found: string;
  /** How to mend it; only with `warn` and `fail`. */
  remedy?: string;
}

export interface DoctorContext {
  loaded: LoadedConfig;
  config: ResolvedConfig;
}

export type Check = (context: DoctorContext) => Finding[] | Promise<Finding[]>;

export const ok = (check: string, found: string): Finding => ({ check, level: 'ok', found });
export const warn = (check: string, found: string, remedy: string): Finding => ({
  check,
  level: 'warn',
  found,
  remedy,
});
export const fail = (check: string, found: string, remedy: string): Finding => ({
  check,
  level: 'fail',
  found,
  remedy,
});
