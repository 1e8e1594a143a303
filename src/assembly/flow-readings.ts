/** What all gateways together see of the answers of each replica. */
import type { GatewayFlow } from '../contract/control-protocol.ts';
import type { FlowReading } from '../contract/flow.ts';

export function flowReadings(flows: readonly GatewayFlow[]): Record<string, FlowReading> {
  const readings: Record<string, FlowReading> = {};
  for (const { inFlight, progressMs, waiting, stepMs } of flows)
    for (const [replica, count] of Object.entries(inFlight)) {
      const known = readings[replica];
      readings[replica] = {
        inFlight: (known?.inFlight ?? 0) + count,
        sinceProgressMs: least(known?.sinceProgressMs, progressMs[replica]),
        waiting: (known?.waiting ?? 0) + (waiting[replica]?.count ?? 0),
        waitingBytesMax: Math.max(known?.waitingBytesMax ?? 0, waiting[replica]?.bytesMax ?? 0),
        stepMs: least(known?.stepMs, stepMs[replica]),
      };
    }
  return readings;
}

function least(a: number | null | undefined, b: number | undefined): number | null {
  const known = [a, b].filter((value) => value !== null && value !== undefined);
  return known.length === 0 ? null : Math.min(...known);
}
