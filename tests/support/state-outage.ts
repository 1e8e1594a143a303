/**
 * A system whose state directory goes bad while it serves: two simulators behind a gateway, at ports that stay the same so that
 * everything is found without a record, and the deaths that are tried on it.
 */
import { type AddressInfo, createServer } from 'node:net';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import { Installation, type Launched, signal, until } from './serve-harness.ts';

export class Outage {
  readonly installation: Installation;
  readonly #gatewayPort: number;
  readonly #adminPort: number;
  readonly #ends: (() => void)[] = [];

  private constructor(gatewayPort: number, adminPort: number) {
    this.#gatewayPort = gatewayPort;
    this.#adminPort = adminPort;
    this.installation = new Installation(`gateway: { port: ${gatewayPort}, workers: 1 }
admin: { port: ${adminPort} }
supervisor: { backoff_initial_ms: 20, restarts_max: 100 }
models: [{ model_name: m, engine: simulator, replicas: 2 }]
`);
  }

  static async start(): Promise<Outage> {
    return new Outage(await freePort(), await freePort());
  }

  get stateDir(): string {
    return this.installation.stateDir;
  }

  /** Called before the directory is removed. */
  onEnd(callback: () => void): void {
    this.#ends.push(callback);
  }

  async serve(): Promise<Launched> {
    const launched = this.installation.serve();
    await launched.waitFor(/^ready: 2 replicas/m);
    return launched;
  }

  async status(): Promise<SystemStatus> {
    const response = await fetch(`http://127.0.0.1:${this.#adminPort}/api/v1/status`, {
      signal: AbortSignal.timeout(5_000),
    });
    return (await response.json()) as SystemStatus;
  }

  async chat(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#gatewayPort}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3 }),
    });
    await response.arrayBuffer();
    return response.status;
  }

  /** Resolves when all engines are replaced and ready. */
  async killEngines(): Promise<void> {
    const before = pidsOf(await this.status());
    for (const pid of before) signal(pid, 'SIGKILL');
    await until('the engines are back', async () => {
      const status = await this.status();
      return status.pools[0]?.ready === 2 && !pidsOf(status).some((pid) => before.includes(pid));
    });
  }

  /** Resolves when another gateway serves. */
  async killGateway(): Promise<void> {
    const before = (await this.status()).gateways[0]?.pid as number;
    signal(before, 'SIGKILL');
    await until('another gateway serves', async () => {
      const { gateways } = await this.status();
      return gateways.some(({ pid, state }) => pid !== before && state === 'listening');
    });
    await until('it answers', async () => (await this.chat()) === 200);
  }

  /** Resolves with the status of the next node process, which has adopted gateway and engines. */
  async killNode(): Promise<SystemStatus> {
    const before = await this.status();
    signal(before.node.pid, 'SIGKILL');
    return until('the next node process has adopted all', async () => {
      const status = await this.status();
      return (
        status.node.pid !== before.node.pid &&
        status.pools[0]?.ready === 2 &&
        String(pidsOf(status)) === String(pidsOf(before)) &&
        String(status.gateways.map(({ pid, state }) => [pid, state])) ===
          String(before.gateways.map(({ pid, state }) => [pid, state])) &&
        status
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) end();
    await this.installation[Symbol.asyncDispose]();
  }
}

function pidsOf({ pools }: SystemStatus): number[] {
  return (pools[0]?.replicas ?? []).map(({ pid }) => pid as number);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
