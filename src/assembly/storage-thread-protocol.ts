/** What a process's main thread and its storage thread say to each other. */
import type { MessagePort } from 'node:worker_threads';
import type { StoreLimits } from '../contract/ports/stores.ts';

export interface StorageStart {
  stateDir: string;
  limits: StoreLimits;
}

export type ToStorage = { type: 'connect'; port: MessagePort } | { type: 'close' };

/** A line for the log of the process. */
export interface FromStorage {
  level: 'warn' | 'error';
  message: string;
  detail: Record<string, unknown>;
}
