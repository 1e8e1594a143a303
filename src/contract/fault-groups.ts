/**
 * Names for several classes of fault at once, as `auto-recovery.yaml` uses them. A class may be in two groups: the one with fewer
 * classes goes before the other, so that the order of entries never matters.
 */
import type { FaultClass } from './faults.ts';

export const FAULT_GROUPS = {
  oom: ['gpu-out-of-memory', 'host-out-of-memory'],
  deadlock: [
    'hung',
    'head-of-line-deadlock',
    'slot-wedge',
    'watchdog-timeout',
    'shared-memory-heartbeat',
    'leaked-slots',
  ],
  gpu_communication: ['collective-timeout', 'network-transient', 'engine-rpc-timeout', 'dead-parallel-rank'],
  // Of links. The Xid 74 of an NVLink is `gpu-lost`: the link is a part of the device then, and another path does not mend it.
  nvlink: ['network-transient'],
  hardware: ['gpu-lost', 'driver-not-ready', 'corrupt-output'],
  crash: [
    'engine-core-dead',
    'clean-exit-after-fatal',
    'cuda-sticky-error',
    'child-dead',
    'killed-from-outside',
    'poison-request',
  ],
} as const satisfies Record<string, readonly FaultClass[]>;

export type FaultGroup = keyof typeof FAULT_GROUPS;
export const FAULT_GROUP_NAMES = Object.keys(FAULT_GROUPS) as FaultGroup[];
