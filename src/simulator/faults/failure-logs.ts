/**
 * What dying engines print, as data: the lines by which a failure is known (and, in their midst, the cascades that follow it).
 * Wordings follow the engines' sources and issue trackers; `exit` faults name one of these or bring lines of their own.
 */
const dump =
  'ERROR [dump_input.py:76] Dumping scheduler output for model execution: SchedulerOutput(scheduled_new_reqs=[NewRequestData(req_id=cmpl-7,prompt_token_ids_len=96)], num_scheduled_tokens={cmpl-7: 96})';
const coreDead = [
  'ERROR [core.py:710] EngineCore encountered a fatal error.',
  'ERROR [async_llm.py:480] AsyncLLM output_handler failed.',
  'vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.',
];

export const FAILURE_LOGS = {
  'engine-core-dead': [
    'ERROR [multiproc_executor.py:230] Worker proc VllmWorker-0 died unexpectedly, shutting down executor.',
    ...coreDead,
  ],
  'clean-exit-after-fatal': [
    ...coreDead,
    'INFO:     Shutting down',
    'INFO:     Waiting for application shutdown.',
    'INFO:     Application shutdown complete.',
    'INFO:     Finished server process [1]',
  ],
  'cuda-illegal-access': [
    dump,
    'torch.AcceleratorError: CUDA error: an illegal memory access was encountered',
    ...coreDead,
  ],
  'cuda-launch-failure': ['RuntimeError: CUDA error: unspecified launch failure', ...coreDead],
  'cuda-device-assert': ['RuntimeError: CUDA error: device-side assert triggered', ...coreDead],
  'cuda-oom': [
    'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.45 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.52 GiB is free.',
    ...coreDead,
  ],
  'start-memory-taken': [
    'ValueError: Free memory on device cuda:0 (3.12/79.11 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.',
    'RuntimeError: Engine core initialization failed. See root cause above.',
  ],
  'start-no-cache-blocks': [
    'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.',
  ],
  'start-context-too-long': [
    "ValueError: The model's max seq len (131072) is larger than the maximum number of tokens that can be stored in KV cache (40960). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
  ],
  'host-oom-kill': ['Killed'],
  'nccl-timeout': [
    '[rank1]:[E1121 10:00:00.000000000 ProcessGroupNCCL.cpp:632] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8123, OpType=ALLREDUCE, NumelIn=4096, NumelOut=4096, Timeout(ms)=600000) ran for 600004 milliseconds before timing out.',
    '[rank1]:[E1121 10:00:00.000000000 ProcessGroupNCCL.cpp:684] [Rank 1] To avoid data inconsistency, we are taking the entire process down.',
  ],
  'rpc-timeout': ['TimeoutError: RPC call to execute_model timed out.', ...coreDead],
  'shm-broadcast': [
    'INFO [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds. This typically happens when some processes are hanging or doing some time-consuming work (e.g. compilation).',
  ],
  'watchdog-timeout': [
    'Watchdog timeout (self.watchdog_timeout=300)',
    'Received sigquit from a child process. It usually means the child failed.',
  ],
  'driver-not-ready': [
    'RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized',
  ],
  'network-transient': [
    'node-0:1:1 [0] NCCL WARN NET/IB : Got completion from peer with error 12, opcode 0, len 0, vendor err 129 BAD_STATUS',
  ],
  'shm-too-small': [
    'misc/shmutils.cc:72 NCCL WARN Call to posix_fallocate failed : No space left on device (28)',
    'RuntimeError: Bus error. It is possible that there is not enough memory available in /dev/shm',
  ],
  poison: [
    dump,
    'ERROR [xgrammar] Failed to advance FSM for request cmpl-7 for tokens 11. Please file an issue.',
    ...coreDead,
  ],
  'sglang-busy-health': [
    "[2026-11-21 10:00:00] Health check failed. Server couldn't get a response from detokenizer for last 20 seconds. tic start time: 09:59:40. last_heartbeat time: 09:58:00",
  ],
  'sglang-child-dead': [
    '[2026-11-21 10:00:00 TP0] Scheduler hit an exception: Traceback (most recent call last):',
    'RuntimeError: CUDA error: unspecified launch failure',
    'Subprocess scheduler_TP0 (pid=4711) crashed with exit code -9. ',
    'SIGQUIT received. signum=<Signals.SIGQUIT: 3>, frame=None. It usually means one child failed.',
  ],
  'tgi-shard-killed': [
    '2026-11-21T10:00:00.000000Z ERROR shard-manager: text_generation_launcher: Shard complete standard error output:',
    '2026-11-21T10:00:00.000000Z ERROR shard-manager: text_generation_launcher: Shard process was signaled to shutdown with signal 9 rank=0',
    '2026-11-21T10:00:00.000000Z ERROR text_generation_launcher: Shard 0 crashed',
  ],
  'llama-server-assert': ['/src/ggml/src/ggml.c:3210: GGML_ASSERT(a->ne[2] == b->ne[0]) failed'],
  'ollama-runner-dead': [
    'time=2026-11-21T10:00:00.000Z level=ERROR source=llama_server.go:1023 msg="llama-server terminated" error="exit status 2" exit=2',
  ],
  'triton-shared-memory': [
    "E1121 10:00:00.000000 1 model_lifecycle.cc:654] \"failed to load 'demo' version 1: Internal: Unable to initialize shared memory key 'triton_python_backend_shm_region_1' to requested size (1048576 bytes). If you are running Triton inside docker, use '--shm-size' flag to control the shared memory region size.\"",
    'error: creating server: Internal - failed to load all models',
  ],
  'missing-weights': [
    'OSError: model does not appear to have a file named config.json. Checkout the model page for available files.',
  ],
} as const satisfies Record<string, readonly string[]>;

export type FailureLog = keyof typeof FAILURE_LOGS;
export const FAILURE_LOG_NAMES = Object.keys(FAILURE_LOGS) as FailureLog[];

/** The kernel's line about a GPU fault. */
export function xidLine(xid: number, secondsSinceBoot: number): string {
  const detail = XID_TEXTS[xid] ?? 'pid=1, name=VLLM::EngineCor';
  return `[${secondsSinceBoot.toFixed(6).padStart(12)}] NVRM: Xid (PCI:0000:3b:00): ${xid}, ${detail}`;
}

const XID_TEXTS: Record<number, string> = {
  13: 'pid=1, name=VLLM::EngineCor, Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0): Illegal Instruction Encoding',
  31: 'pid=1, name=VLLM::EngineCor, MMU Fault: ENGINE GRAPHICS faulted @ 0x7f12_00000000',
  43: 'pid=1, name=VLLM::EngineCor, Ch 00000008',
  48: 'pid=<unknown>, name=<unknown>, DBE (double bit error) ECC Error',
  63: 'Row Remapper: New row marked for remapping, reset gpu to activate.',
  74: 'NVLink: fatal error detected on link 4',
  79: 'pid=<unknown>, name=<unknown>, GPU has fallen off the bus.',
  94: 'Contained: SM (0x1). RST: No, D-RST: No',
  95: 'Uncontained: L2 (0x3). RST: Yes, D-RST: No',
  119: 'pid=1, name=VLLM::EngineCor, Timeout after 6s of waiting for RPC response from GPU0 GSP!',
  154: 'GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)',
};
