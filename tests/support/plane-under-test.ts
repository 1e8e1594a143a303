/** For unit tests: the request loop of one worker without sockets, on stores and engines of the test's making. */
import { systemClock } from '../../src/base/clock.ts';
import type { PoolView } from '../../src/contract/fleet.ts';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import type { FileContents } from '../../src/contract/ports/file-contents.ts';
import type { SharedLimits } from '../../src/contract/ports/shared-limits.ts';
import type { Stores } from '../../src/contract/ports/stores.ts';
import type { Transport } from '../../src/contract/ports/transport.ts';
import { CacheClient } from '../../src/planes/gateway/cache/cache-client.ts';
import type { SlottedSnapshot } from '../../src/planes/gateway/fleet-table.ts';
import { GatewayCounters } from '../../src/planes/gateway/gateway-counters.ts';
import { GatewayPlane } from '../../src/planes/gateway/gateway-plane.ts';
import { createSharedMemory } from '../../src/planes/gateway/shared-memory.ts';
import { SharedState } from '../../src/planes/gateway/shared-state.ts';
import { poolOf, TEST_SETTINGS } from './gateway-under-test.ts';

/** `demo` has two replicas, in slots 0 and 1, of this generation. */
export function demoSnapshot(
  generation = 1,
  { seq = generation, settings = {} }: { seq?: number; settings?: Partial<GatewaySettings> } = {},
): SlottedSnapshot {
  const [pool] = [poolOf('demo', [{ url: 'http://a' }, { url: 'http://b' }])] as [PoolView];
  const replicas = pool.replicas.map((view) => ({ ...view, generation }));
  return {
    snapshot: {
      version: { epoch: 1, seq },
      settings: { ...TEST_SETTINGS, ...settings },
      fleet: { pools: [{ ...pool, replicas }] },
    },
    replicaSlots: { 'demo/0': 0, 'demo/1': 1 },
    poolSlots: { demo: 0 },
    limitSlots: {},
  };
}

export interface PlaneParts {
  snapshot?: SlottedSnapshot;
  /** Called for each attempt; what answers it is the handler. */
  send?: (...call: Parameters<Transport['send']>) => void;
  /** Those that the test asks for anything. */
  stores?: { [Name in keyof Stores]?: Partial<Stores[Name]> };
  /** Default: limits are counted here. */
  sharedLimits?: SharedLimits | null;
}

export interface PlaneUnderTest {
  plane: GatewayPlane;
  shared: SharedState;
  /** Lines of the log, unparsed. */
  logged: string[];
}

export function planeUnderTest({
  snapshot = demoSnapshot(),
  send = () => {},
  stores = {},
  sharedLimits = null,
}: PlaneParts = {}): PlaneUnderTest {
  const memory = createSharedMemory();
  const shared = new SharedState(memory, 0);
  const logged: string[] = [];
  const plane = new GatewayPlane({
    clock: systemClock,
    transport: {
      send: (request, handler) => {
        send(request, handler);
        return { pause: () => {}, resume: () => {}, abort: () => {} };
      },
      forget: () => {},
      close: async () => {},
    },
    shared,
    memory,
    worker: 0,
    sharedLimits,
    cacheClient: new CacheClient(),
    onHealth: () => {},
    snapshot,
    counters: new GatewayCounters(),
    stores: stores as Stores,
    announceCancel: () => {},
    fileContents: {} as FileContents,
    newRequestId: () => 'req-1',
    onFact: () => {},
    onSuspect: () => {},
    writeLog: (line) => void logged.push(line),
  });
  return { plane, shared, logged };
}
