/**
 * The one place that reads `process.env`. Everything else is handed the values it needs, so that a test can own them.
 */
import { homedir } from 'node:os';

export interface Environment {
  /** All variables, for `${NAME}` in the configuration and for the processes that we start. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  /** Directory that relative paths on the command line start from. */
  readonly workDir: string;
}

export function readEnvironment(): Environment {
  return { variables: { ...process.env }, homeDir: homedir(), workDir: process.cwd() };
}

/** What every process of ours and every engine inherits: enough to find programs, homes, locales and devices, no secrets. */
const INHERITED = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'XDG_CACHE_HOME',
  'LD_LIBRARY_PATH',
  'CUDA_HOME',
  'CUDA_PATH',
  'CUDA_VISIBLE_DEVICES',
  'CUDA_DEVICE_ORDER',
  'NVIDIA_VISIBLE_DEVICES',
  'ROCR_VISIBLE_DEVICES',
  'HIP_VISIBLE_DEVICES',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_HUB_OFFLINE',
  'AUTOGLM_MODELS_DIR',
  'SSL_CERT_FILE',
  'NODE_EXTRA_CA_CERTS',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'SYSTEMROOT',
  'NODE_COMPILE_CACHE',
] as const;

export function inheritedVariables(environment: Environment): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = environment.variables[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
