/**
 * What engines are made of, as data: how their workers call themselves, and which programs they start. Titles are those that the
 * engines set themselves (vLLM `set_process_title`, SGLang `setproctitle`, programs of TGI). Add a program here when an engine
 * starts one in its normal work.
 */

/** Of processes without which the engine does not work. No engine starts one of these anew by itself. */
const WORKER_TITLES: readonly RegExp[] = [
  /^VLLM::(EngineCore|Worker|APIServer|DPCoordinator)/,
  /^sglang::(scheduler|detokenizer|data_parallel_controller)/,
  /^(\S*\/)?(python[\d.]* )?(\S*\/)?text-generation-(server|router)(-v\d)? /,
];

/** Engines whose direct children live as long as they do, also where they have no title. */
const KEEPS_CHILDREN: ReadonlySet<string> = new Set(['vllm', 'sglang', 'tgi']);

/** Tools that compile kernels or ask the machine what it has; most run at the start, for seconds. */
const TOOLS = [
  ...['gcc', 'g++', 'cc', 'c++', 'cc1', 'cc1plus', 'clang', 'as', 'ld', 'collect2', 'lto-wrapper', 'ar'],
  ...['x86_64-linux-gnu-gcc', 'x86_64-linux-gnu-g++', 'x86_64-linux-gnu-ld', 'x86_64-linux-gnu-as'],
  ...['aarch64-linux-gnu-gcc', 'aarch64-linux-gnu-g++', 'aarch64-linux-gnu-ld', 'aarch64-linux-gnu-as'],
  ...['nvcc', 'cicc', 'ptxas', 'fatbinary', 'nvlink', 'cudafe++', 'cuobjdump', 'nvdisasm', 'hipcc'],
  ...['ninja', 'make', 'cmake', 'ldconfig', 'ldconfig.real', 'ldd', 'uname', 'lscpu', 'which', 'file'],
  ...['nvidia-smi', 'rocm-smi', 'amd-smi', 'lspci', 'numactl', 'env', 'tini', 'dumb-init', 'git', 'whereis'],
  ...['py-spy', 'gdb', 'dirname', 'basename', 'id', 'hostname'],
];
const TOOL_NAMES: ReadonlySet<string> = new Set(TOOLS);

/** Programs of an engine beside that of its main process. An engine that is not here may start anything but `DISTRUSTED`. */
const OWN_PROGRAMS: Readonly<Record<string, RegExp>> = {
  vllm: /^(python[\d.]*|vllm|ray|raylet|gcs_server|redis-server)$/,
  sglang: /^(python[\d.]*|sglang|ray|raylet|gcs_server)$/,
  tgi: /^(python[\d.]*|text-generation-[\w-]+)$/,
  triton: /^(python[\d.]*|tritonserver|triton_python_backend_stub|trtllmExecutorWorker|mpirun|orted|prted)$/,
  'llama-server': /^llama-[\w-]+$/,
  ollama: /^(ollama|ollama_llama_server|llama-[\w-]+)$/,
  embedded: /^node$/,
};

/** What no engine needs, whichever it is: shells, and programs that fetch or open connections. */
const SHELLS = /^(sh|bash|dash|ash|zsh|ksh|fish|csh|tcsh|busybox)$/;
const DISTRUSTED =
  /^(nc|ncat|netcat|nc\.openbsd|nc\.traditional|socat|curl|wget|ssh|sshd|telnet|nmap|ftp|tftp|scp|sftp)$/;

export function isWorkerTitle(command: string): boolean {
  return WORKER_TITLES.some((title) => title.test(`${command} `));
}

export function keepsChildren(engine: string): boolean {
  return KEEPS_CHILDREN.has(engine);
}

export function isTool(program: string): boolean {
  return (
    TOOL_NAMES.has(program) ||
    (/-(\d+)$/.test(program) === true && TOOL_NAMES.has(program.replace(/-\d+$/, '')))
  );
}

/** Of a program below an engine's main process. */
export interface StartedProgram {
  engine: string;
  program: string;
  command: string;
  /** Of the process that started it; null: it is gone. */
  parentProgram: string | null;
  /** Of the engine's main process; null: it is gone. */
  mainProgram: string | null;
}

/** Whether the engine has no business to start it. */
export function isUnexpected({
  engine,
  program,
  command,
  parentProgram,
  mainProgram,
}: StartedProgram): boolean {
  if (program === mainProgram || isTool(program)) return false;
  if (SHELLS.test(program)) {
    if (parentProgram !== null && isTool(parentProgram)) return false;
    return !runsTool(command);
  }
  if (DISTRUSTED.test(program)) return true;
  const own = OWN_PROGRAMS[engine];
  return own !== undefined && !own.test(program);
}

/** `sh -c "ldconfig -p"`: a shell that does nothing but run one of the tools. */
function runsTool(command: string): boolean {
  const [, line] = /^\S+ -c (.+)$/s.exec(command) ?? [];
  if (line === undefined || /[;&|`$<>\n]/.test(line)) return false;
  const [first = ''] = line.trim().split(/\s+/);
  return isTool(first.split('/').at(-1) ?? '');
}
