/**
 * What health, batching and the heart of the cache cost per request. Run: `npx node bench/micro/health-and-cache.ts`.
 */
import { ItemBatcher } from '../../src/decide/scheduling/batching/item-batcher.ts';
import { ByteStore } from '../../src/decide/scheduling/cache/byte-store.ts';
import { cacheKey } from '../../src/decide/scheduling/cache/cache-key.ts';
import { SingleFlight } from '../../src/decide/scheduling/cache/single-flight.ts';
import {
  DEFAULT_HEALTH,
  type HealthState,
  healthShare,
  startHealth,
  stepHealth,
} from '../../src/decide/scheduling/health/replica-health.ts';
import { measure, print } from './measure.ts';

let health: HealthState = startHealth(0);
let shares = 0;
print(
  measure('health: an attempt succeeded, and the share', 200_000, (call) => {
    health = stepHealth(health, { type: 'attemptSucceeded', atMs: call, lease: null }, DEFAULT_HEALTH);
    shares += healthShare(health, call, DEFAULT_HEALTH);
  }),
);

const batcher = new ItemBatcher({ unitsMax: 64, weightMax: 1e6, waitMaxMs: 5, pendingMax: 10_000 });
print(
  measure('batcher: add, and take what is due', 200_000, (call) => {
    batcher.add({ key: call % 2 === 0 ? 'a' : 'b', units: 1, weight: 100 }, call / 100);
    for (const { key } of batcher.takeDue(call / 100)) batcher.ended(key);
  }),
);

const scope = { tenant: 't', modelRevision: 'm@1', endpoint: 'chat', determinism: 'greedy' } as const;
const bodyOf = (chars: number) => ({
  model: 'm',
  temperature: 0,
  max_tokens: 100,
  messages: [
    { role: 'system', content: 'You are helpful.' },
    { role: 'user', content: 'word '.repeat(chars / 5) },
  ],
});
for (const kilobytes of [2, 20]) {
  const body = bodyOf(kilobytes * 1_000);
  print(measure(`cache: key of a body of ${kilobytes} KB`, 50_000, () => cacheKey(scope, body)));
}

const store = new ByteStore<number>(64 * 1024 * 1024);
for (let entry = 0; entry < 100_000; entry++) store.set(`key ${entry}`, entry, 300, 1e12);
print(
  measure(`cache: get of ${store.size} entries`, 200_000, (call) => store.get(`key ${call % 150_000}`, call)),
);
print(measure('cache: set that evicts', 100_000, (call) => store.set(`other ${call}`, call, 300, 1e12)));

const flights = new SingleFlight<number>({ flightsMax: 10_000, followersMax: 1_000 });
print(
  measure('cache: single flight of one request alone', 200_000, (call) => {
    flights.join('k', call);
    flights.succeeded('k');
  }),
);
if (Number.isNaN(shares)) console.log(shares);
