/**
 * A gateway's connection to the node process: made at the first of several addresses where one answers, and made again for as
 * long as this process lives, also while it drains: only the node process knows which engines have ceased to be ready.
 */
import { systemClock } from '../base/clock.ts';
import type { GatewayToNode, NodeToGateway } from '../contract/control-protocol.ts';
import type { ControlLink } from '../contract/ports/control-link.ts';
import { connectLink } from '../drivers/control-link/socket-link.ts';

export interface NodeLinkOptions {
  /** Sockets of the node process; none: there is no such process. */
  socketPaths: readonly string[];
  /** What is said first on each new connection. */
  greeting(): GatewayToNode[];
  onMessage(message: NodeToGateway): void;
}

const RECONNECT_MS = 200;

export class NodeLink {
  readonly #options: NodeLinkOptions;
  #link: ControlLink<NodeToGateway, GatewayToNode> | null = null;
  #closed = false;

  constructor(options: NodeLinkOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.socketPaths.length > 0) void this.#keepConnected();
  }

  get connected(): boolean {
    return this.#link !== null;
  }

  /** False when it was not sent, for want of a connection. */
  send(message: GatewayToNode): boolean {
    this.#link?.send(message);
    return this.#link !== null;
  }

  close(): void {
    this.#closed = true;
    this.#link?.close();
  }

  async #keepConnected(): Promise<void> {
    while (!this.#closed) {
      // A node process that could not listen at its usual place listens at the next one.
      for (const path of this.#options.socketPaths) await this.#connectOnce(path);
      await systemClock.sleep(RECONNECT_MS);
    }
  }

  /** Resolves when the connection has ended, or could not be made. */
  async #connectOnce(path: string): Promise<void> {
    try {
      const link = await connectLink<NodeToGateway, GatewayToNode>(path);
      const closed = new Promise<void>((resolve) => link.onClose(resolve));
      this.#link = link;
      link.onMessage((message) => this.#options.onMessage(message));
      for (const message of this.#options.greeting()) link.send(message);
      await closed;
    } catch {
      // The node process is away; it will be back at one of these paths.
    }
    this.#link = null;
  }
}
