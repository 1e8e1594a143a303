/** Builds the runner of batches of a node process, with a storage thread and connections of its own. */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { createUndiciTransport } from '../drivers/http/undici-transport.ts';
import { FILES_FOLDER, openFileContents } from '../drivers/storage/file-contents.ts';
import { BatchRunner } from '../planes/control/batches/batch-runner.ts';
import { createLineSender } from '../planes/control/batches/line-sender.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import type { LogLevel } from './node-log.ts';
import { StorageHost } from './storage-host.ts';

/** No client waits for a batch: a disk that is slow for seconds, or a lock that another process holds, is waited for. */
const STORE_CALL_TIMEOUT_MS = 10_000;

export interface BatchesOptions {
  config: ResolvedConfig;
  /** Whether clients may send this as `model` at this moment. */
  isKnownModel(name: string): boolean;
  /** By which gateways know the runner. */
  fillerKey: FillerKey;
  gatewayOrigin(): string;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
}

export interface FillerKey {
  key: string;
  sha256: string;
}

export interface Batches {
  close(): Promise<void>;
}

/** Drawn anew by each node process, handed to its gateways as a hash, and written nowhere. */
export function newFillerKey(): FillerKey {
  const key = randomBytes(32).toString('base64url');
  return { key, sha256: createHash('sha256').update(key).digest('hex') };
}

export function startBatches({
  config,
  isKnownModel,
  fillerKey,
  gatewayOrigin,
  log,
}: BatchesOptions): Batches {
  const { gateway, paths } = config;
  const storage = new StorageHost({ stateDir: paths.root, limits: gateway.storeLimits, log });
  const transport = createUndiciTransport();
  const runner = new BatchRunner({
    holder: `${process.pid}@${paths.instance}`,
    stores: storage.stores({ callTimeoutMs: STORE_CALL_TIMEOUT_MS }),
    contents: openFileContents(join(paths.root, FILES_FOLDER)),
    sender: createLineSender({
      transport,
      gatewayOrigin,
      key: fillerKey.key,
      clock: systemClock,
      timeoutMs: gateway.batches.lineTimeoutMs,
    }),
    clock: systemClock,
    rules: {
      linesMax: gateway.batches.linesMax,
      lineBytesMax: gateway.bodyBytesMax,
      isKnownModel,
    },
    inFlightMax: gateway.batches.inFlightMax,
    log,
  });
  runner.start();
  return {
    close: async () => {
      await runner.close();
      await transport.close();
      await storage.close();
    },
  };
}
