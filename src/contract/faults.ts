/**
 * The taxonomy of faults: 35 classes, what each means, and what kind of answer it asks for. `decide/diagnosis` names a class, the
 * supervisor and people act on it; docs/diagnosis.md shows the table, and a test holds it against this one.
 */

/**
 * `transient`: the same may work when it is tried again. `permanent`: it will not, on this process, device or configuration.
 * `partition`: the parts do not agree on who is there.
 */
export type FaultNature = 'transient' | 'permanent' | 'partition';

export interface FaultSpec {
  /** Row of the taxonomy, 1 to 35; rows never change their number. */
  row: number;
  nature: FaultNature;
  /** Whether a restart of the engine can help at all; where it cannot, it is never tried. */
  restartHelps: boolean;
  meaning: string;
  /** What to do, as an order to a person; the automatic remedy does the same. */
  todo: string;
}

export const FAULTS = {
  'engine-core-dead': {
    row: 1,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'the process that computes has died, and the log does not say of what',
    todo: 'restart the engine with its whole process group; look for the cause in earlier lines and in the kernel log',
  },
  'clean-exit-after-fatal': {
    row: 2,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'the engine died of a fatal error and then ended with status 0, as if it had been asked to',
    todo: 'restart it; let nothing that watches the engine take status 0 for success',
  },
  'cuda-sticky-error': {
    row: 3,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'a CUDA error that spoils the context of the process: nothing it does later can succeed',
    todo: 'restart the engine; twice on one GPU: take the GPU out; with the same request each time: isolate the request',
  },
  'gpu-out-of-memory': {
    row: 4,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'the GPU ran out of memory while it served',
    todo: 'restart with one step less of batch tokens, sequences or memory utilisation; isolate a single long request',
  },
  'no-memory-at-start': {
    row: 5,
    nature: 'permanent',
    restartHelps: false,
    meaning: 'the model, its cache or its longest context does not fit into the memory that is free',
    todo: 'end what else holds the memory; then a shorter context, another quantization or more GPUs',
  },
  'host-out-of-memory': {
    row: 6,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'the kernel killed a process of the engine because the host or its cgroup had no memory left',
    todo: 'restart with fewer requests at a time or a higher limit; where memory grows steadily, restart before the limit',
  },
  'killed-from-outside': {
    row: 7,
    nature: 'transient',
    restartHelps: true,
    meaning: 'somebody ended the engine with a signal; the kernel did not do it for want of memory',
    todo: 'restart it; look at who else controls the process: probes of an orchestrator, a person, a script',
  },
  'collective-timeout': {
    row: 8,
    nature: 'partition',
    restartHelps: true,
    meaning: 'ranks waited for one that did not take part in a collective operation',
    todo: 'restart all ranks together; find the rank that the others agree is missing; again on the same node: take it out',
  },
  'engine-rpc-timeout': {
    row: 9,
    nature: 'transient',
    restartHelps: true,
    meaning: 'the core of the engine waited in vain for one of its workers',
    todo: 'restart the engine; when it comes again, check the memory of the GPU',
  },
  'shared-memory-heartbeat': {
    row: 10,
    nature: 'transient',
    restartHelps: true,
    meaning: 'workers do not answer over shared memory while there is work and nothing moves',
    todo: 'take two stacks of the workers; restart when they are equal',
  },
  hung: {
    row: 11,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'there is work, and the engine makes no step, though it may still answer health checks',
    todo: 'take stacks, then restart the process group; requests go on elsewhere',
  },
  'head-of-line-deadlock': {
    row: 12,
    nature: 'transient',
    restartHelps: false,
    meaning: 'the first request in the queue needs more cache than there is, and all others wait behind it',
    todo: 'abort the request at the head of the queue; refuse prompt + max_tokens above the capacity of the cache',
  },
  'watchdog-timeout': {
    row: 13,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'the watchdog of the engine found no step for its whole time, mostly with a nearly full cache',
    todo: 'restart the engine; keep cache use below 0.9',
  },
  'child-dead': {
    row: 14,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'a process of the engine is gone while the one that answers health checks lives on',
    todo: 'restart the whole process group; watch the tree of processes, not the port',
  },
  'slot-wedge': {
    row: 15,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'health is answered, slots are not, and no token comes; SIGTERM is often ignored',
    todo: 'restart with SIGKILL after a short SIGTERM',
  },
  busy: {
    row: 16,
    nature: 'transient',
    restartHelps: false,
    meaning: 'the engine has more work than it can answer for in time; it makes progress',
    todo: 'do not restart it; send it less, and give its health check more time',
  },
  'frontend-starved': {
    row: 17,
    nature: 'transient',
    restartHelps: false,
    meaning: 'the HTTP side of the engine is late or silent while the engine computes',
    todo: 'do not restart it; fewer requests at once, a limit on the bytes of a prompt',
  },
  'orphan-holds-gpu': {
    row: 18,
    nature: 'transient',
    restartHelps: false,
    meaning: 'a process left behind by a former start still holds memory of the GPU',
    todo: 'end the process that holds it, wait until the memory is free, then start',
  },
  'gpu-lost': {
    row: 19,
    nature: 'permanent',
    restartHelps: false,
    meaning: 'the GPU reported a hardware fault, or cannot be reached any more',
    todo: 'move to another device; drain the node, reset the GPU or reboot as the Xid catalogue says',
  },
  'driver-not-ready': {
    row: 20,
    nature: 'permanent',
    restartHelps: false,
    meaning: 'driver, fabric manager or CUDA libraries of the host are not up, or do not fit together',
    todo: 'drain the host; start the fabric manager or mend the driver; do not restart engines in a loop',
  },
  'network-transient': {
    row: 21,
    nature: 'transient',
    restartHelps: true,
    meaning: 'a link between GPUs or nodes failed for a moment',
    todo: 'restart the group; when it comes again, take the link or the node out',
  },
  'shared-memory-too-small': {
    row: 22,
    nature: 'permanent',
    restartHelps: false,
    meaning: '/dev/shm is too small for what the processes exchange',
    todo: 'give the container more shared memory (`--shm-size`, or an emptyDir with medium Memory); a restart is useless',
  },
  'kv-exhausted': {
    row: 23,
    nature: 'transient',
    restartHelps: false,
    meaning: 'the cache is full, and requests push one another out again and again',
    todo: 'do not restart it; fewer requests at once',
  },
  'poison-request': {
    row: 24,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'one request brings down every engine that it is sent to',
    todo: 'restart the engine; try the suspect alone, or refuse it (422) for a time',
  },
  'stream-stall': {
    row: 25,
    nature: 'transient',
    restartHelps: false,
    meaning: 'one stream has fallen silent while the engine goes on with others',
    todo: 'continue that stream on another replica; leave the engine alone',
  },
  'leaked-slots': {
    row: 26,
    nature: 'transient',
    restartHelps: true,
    meaning: 'the engine counts requests as running that nobody waits for, and finishes none',
    todo: 'abort all requests that the gateway does not know; restart when the count stays',
  },
  'corrupt-output': {
    row: 27,
    nature: 'permanent',
    restartHelps: true,
    meaning: 'the engine computes NaN or repeats one token: its answers are worthless',
    todo: 'take it out at once and restart it; again on the same GPU: take the GPU out',
  },
  'slow-start': {
    row: 28,
    nature: 'transient',
    restartHelps: false,
    meaning: 'the start takes long and goes on: loading, compiling or capturing graphs',
    todo: 'wait; give each phase of the start its own limit instead of one for all',
  },
  'ready-too-early': {
    row: 29,
    nature: 'transient',
    restartHelps: false,
    meaning: 'the engine says that it is ready before its model can be used',
    todo: 'send traffic only after the model is listed and one token was generated',
  },
  'bad-configuration': {
    row: 30,
    nature: 'permanent',
    restartHelps: false,
    meaning:
      'the engine cannot start like this: a wrong option, missing weights, a port that is taken, or the same end at each start',
    todo: 'stop restarting; mend the configuration or go back to the last one that worked',
  },
  straggler: {
    row: 31,
    nature: 'transient',
    restartHelps: false,
    meaning: 'steps take longer than on equal replicas: heat, a power limit, a slow link',
    todo: 'send it less, then take it out; drain the device when it stays so',
  },
  'empty-success': {
    row: 32,
    nature: 'transient',
    restartHelps: false,
    meaning:
      'status 200 without a token and without a reason to finish: an error that something in between swallowed',
    todo: 'try the request elsewhere; look at the proxy in front of the engine',
  },
  'dead-parallel-rank': {
    row: 33,
    nature: 'partition',
    restartHelps: true,
    meaning: 'one rank of a data or expert parallel group is gone, and the others wait for it',
    todo: 'let the others go on without it where the engine can; else restart the whole group',
  },
  'kv-connector-stall': {
    row: 34,
    nature: 'transient',
    restartHelps: true,
    meaning: 'requests wait for cache blocks that another process or tier does not deliver',
    todo: 'abort the requests that wait for it; go on without the connector; then restart',
  },
  'gateway-fault': {
    row: 35,
    nature: 'permanent',
    restartHelps: false,
    meaning: 'the fault is on our side of the connection: a gateway that does not get to its work',
    todo: 'leave the engines alone; replace the gateway (`autoglm restart --gateway`)',
  },
} as const satisfies Record<string, FaultSpec>;

export type FaultClass = keyof typeof FAULTS;
export const FAULT_CLASSES = Object.keys(FAULTS) as [FaultClass, ...FaultClass[]];

/** What is done about a fault of some nature, before any remedy of its own. */
export type FaultStrategy =
  /** Try again, with exponential backoff. */
  | 'retry-with-backoff'
  /** Others take over, and what failed is built anew. */
  | 'fail-over-and-rebuild'
  /** What the majority agrees on counts; the rest stops acting. */
  | 'elect-by-majority'
  /** End in order, keep the evidence, call a person. */
  | 'safe-shutdown';

export const STRATEGY_OF: Record<FaultNature | 'unknown', FaultStrategy> = {
  transient: 'retry-with-backoff',
  permanent: 'fail-over-and-rebuild',
  partition: 'elect-by-majority',
  unknown: 'safe-shutdown',
};
