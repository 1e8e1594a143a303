/**
 * What can be done about a fault: the closed vocabulary of remedies, in the words of `auto-recovery.yaml`. A ladder is an order
 * of remedies for one class of fault; the recovery machine climbs it, the supervisor carries remedies out, and incidents, drills
 * and reports name them.
 */

export interface RemedySpec {
  meaning: string;
  /** What has to hold before it is tried, beside a free budget. */
  precondition: string;
  /** How it is known that it helped. */
  verification: string;
  /** How it is taken back; null: there is nothing to take back. */
  undo: string | null;
  /** The replica takes no traffic while it is tried. */
  outOfRotation: boolean;
  /** The process of the engine is ended; counts against the restart budget. */
  endsProcess: boolean;
  /** Whether a person has to act afterwards. */
  needsPerson: boolean;
}

export const REMEDIES = {
  observe: {
    meaning: 'nothing is done: it is told, measured and watched',
    precondition: 'none',
    verification: 'the signs go away',
    undo: null,
    outOfRotation: false,
    endsProcess: false,
    needsPerson: false,
  },
  abort_request: {
    meaning:
      'the requests that hold the engine up are ended there, and go on elsewhere; the engine goes on with the others',
    precondition: 'the engine is alive, and another replica is ready or the requests wait in the queue',
    verification: 'the engine makes steps again and passes its canary',
    undo: null,
    outOfRotation: false,
    endsProcess: false,
    needsPerson: false,
  },
  shed_load: {
    meaning: 'the replica takes half as many requests at a time as before',
    precondition: 'its window is above one',
    verification: 'the signs are gone for a while',
    undo: 'the window grows back step by step while all is well',
    outOfRotation: false,
    endsProcess: false,
    needsPerson: false,
  },
  clear_caches: {
    meaning: 'the engine drops what it has computed for later requests',
    precondition: 'the engine has a call for it',
    verification: 'it answers, and passes its canary',
    undo: null,
    outOfRotation: false,
    endsProcess: false,
    needsPerson: false,
  },
  clear_queue_and_reset: {
    meaning:
      'all pending requests of the engine are ended there and queued again elsewhere, its caches are cleared, and it goes on',
    precondition: 'the engine is alive and has a call that ends requests',
    verification: 'nothing runs on it any more, and it passes its canary',
    undo: null,
    outOfRotation: true,
    endsProcess: false,
    needsPerson: false,
  },
  drain: {
    meaning: 'the replica finishes what runs, ends, and stays down',
    precondition: 'another replica of its pool is ready',
    verification: 'its process is gone, and no request was cut',
    undo: '`autoglm restart REPLICA`',
    outOfRotation: true,
    endsProcess: true,
    needsPerson: true,
  },
  restart_process: {
    meaning:
      'the whole process group is ended (TERM, then KILL, and what it left behind), memory is awaited, and it starts again',
    precondition: 'its restart budget is not used up',
    verification: 'it becomes ready and passes its canary',
    undo: null,
    outOfRotation: true,
    endsProcess: true,
    needsPerson: false,
  },
  restart_safer: {
    meaning:
      'the same, with one setting a step safer: fewer sequences at a time, then less memory, a smaller context',
    precondition: 'its restart budget is not used up, and a safer step is left',
    verification: 'it becomes ready and passes its canary',
    undo: '`autoglm restart REPLICA`, or a change of its configuration, starts it with the settings of the file',
    outOfRotation: true,
    endsProcess: true,
    needsPerson: false,
  },
  fallback_path: {
    meaning: 'the same, over the slower way between GPUs (NCCL_P2P_DISABLE=1 and what the policy names)',
    precondition: 'its restart budget is not used up',
    verification: 'it becomes ready and passes its canary',
    undo: '`autoglm restart REPLICA`, or a change of its configuration, starts it with the settings of the file',
    outOfRotation: true,
    endsProcess: true,
    needsPerson: true,
  },
  move_to_standby: {
    meaning: 'a standby replica takes its place at once; it is restarted and becomes the standby',
    precondition: 'a standby of its pool is loaded',
    verification: 'the standby takes traffic, and the restarted one becomes ready',
    undo: null,
    outOfRotation: true,
    endsProcess: true,
    needsPerson: false,
  },
  rebuild_elsewhere: {
    meaning: 'it is started on another device of the machine',
    precondition: 'a spare device is configured and not known to be broken',
    verification: 'it becomes ready there and passes its canary',
    undo: '`autoglm restart REPLICA`, or a change of its configuration, starts it with the settings of the file',
    outOfRotation: true,
    endsProcess: true,
    needsPerson: true,
  },
  quarantine: {
    meaning: 'it is ended and stays down, with the reason in `autoglm status`',
    precondition: 'none',
    verification: 'its process is gone',
    undo: '`autoglm restart REPLICA`',
    outOfRotation: true,
    endsProcess: true,
    needsPerson: true,
  },
  page: {
    meaning: 'people are told; the replica stays as it is',
    precondition: 'none',
    verification: 'none',
    undo: null,
    outOfRotation: false,
    endsProcess: false,
    needsPerson: true,
  },
  safe_shutdown: {
    meaning:
      'it finishes what runs, its state is kept as evidence, it ends and stays down, and people are told',
    precondition: 'another replica of its pool is ready',
    verification: 'its process is gone',
    undo: '`autoglm restart REPLICA`',
    outOfRotation: true,
    endsProcess: true,
    needsPerson: true,
  },
} as const satisfies Record<string, RemedySpec>;

export type Remedy = keyof typeof REMEDIES;
export const REMEDY_NAMES = Object.keys(REMEDIES) as [Remedy, ...Remedy[]];

/** How a process is started differently from what the configuration says, by remedies that were tried; zero everywhere: not at all. */
export interface LaunchAdjustment {
  /** Steps of `restart_safer` that are in force. */
  saferSteps: number;
  /** `fallback_path` is in force. */
  fallbackPath: boolean;
  /** 0: the devices of the configuration; n: its n-th list of spare devices. */
  device: number;
}

export const NO_ADJUSTMENT: LaunchAdjustment = { saferSteps: 0, fallbackPath: false, device: 0 };
