/** One gateway process as the node sees it. */
import type { GatewayStatus } from '../../contract/admin-api.ts';
import type { GatewayReport, GatewayToNode, NodeToGateway } from '../../contract/control-protocol.ts';
import type { PlatformError } from '../../contract/errors.ts';
import type { ControlLink } from '../../contract/ports/control-link.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';

export type GatewayLink = ControlLink<GatewayToNode, NodeToGateway>;

/** `starting`: spawned or adopted, and not heard of yet. `draining`: finishes what it has, then ends. */
type HostedState = 'starting' | 'listening' | 'draining';

export interface Hosted {
  id: string;
  identity: ProcessIdentity;
  state: HostedState;
  link: GatewayLink | null;
  address: { host: string; port: number } | null;
  watch: Disposable;
  startedMs: number;
  lastReport: GatewayReport | null;
  /** Why it said that it cannot serve. */
  failure: PlatformError | null;
  /** Somebody waits for it to listen and deals with its end; nobody else starts a successor. */
  attended: boolean;
}

export function statusOf(hosted: Hosted): GatewayStatus {
  return {
    id: hosted.id,
    pid: hosted.identity.pid,
    state: hosted.link === null && hosted.state !== 'starting' ? 'away' : hosted.state,
    address: hosted.address === null ? '' : addressText(hosted.address),
    workers: hosted.lastReport?.workers ?? [],
    inFlight: hosted.lastReport?.inFlight ?? 0,
    queued: hosted.lastReport?.queued ?? 0,
  };
}

function addressText({ host, port }: { host: string; port: number }): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
