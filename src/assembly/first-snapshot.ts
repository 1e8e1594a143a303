/**
 * What a gateway starts from: the last good snapshot on disk, or, where that could not be written or read (a full disk at the
 * very first start), the one that the node process sends. Better an older one than none.
 */
import { readFileSync } from 'node:fs';
import type { NodeToGateway } from '../contract/control-protocol.ts';
import { PlatformError } from '../contract/errors.ts';
import type { GatewaySnapshot } from '../contract/gateway-snapshot.ts';

export interface FirstSnapshotOptions {
  snapshotFile: string;
  /** The node process has a newer one. */
  isSnapshotStale: boolean;
  /** None: there is no node process to hear from. */
  socketPaths: readonly string[];
}

/** The node process listens before it starts a gateway; this is below its patience with a gateway that does not serve. */
const WAIT_MS = 5_000;

export class FirstSnapshot {
  readonly #options: FirstSnapshotOptions;
  readonly #answered = Promise.withResolvers<void>();
  #newest: GatewaySnapshot | null = null;

  constructor(options: FirstSnapshotOptions) {
    this.#options = options;
  }

  /** Messages of the node process that come before there is a gateway to take them. */
  onMessage(message: NodeToGateway): void {
    if (message.type === 'snapshot') {
      this.#newest = message.snapshot;
      this.#answered.resolve();
    }
    // Nothing is served yet, so there is nothing to finish.
    if (message.type === 'drain') process.exit(0);
  }

  /** Rejects with PlatformError `internal` when there is none. */
  async taken(): Promise<GatewaySnapshot> {
    const { snapshotFile, isSnapshotStale, socketPaths } = this.#options;
    const kept = readSnapshot(snapshotFile);
    if (typeof kept === 'object' && (!isSnapshotStale || socketPaths.length === 0)) return kept;
    if (socketPaths.length > 0) {
      setTimeout(() => this.#answered.resolve(), WAIT_MS);
      await this.#answered.promise;
    }
    const snapshot = this.#newest ?? kept;
    if (typeof snapshot === 'object') return snapshot;
    throw new PlatformError('internal', `the gateway has nothing to start from: ${snapshot}`);
  }
}

/** Or why there is none. */
function readSnapshot(file: string): GatewaySnapshot | string {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as GatewaySnapshot;
  } catch (error) {
    return `${file}: ${(error as Error).message}`;
  }
}
