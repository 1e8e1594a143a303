/**
 * What a scheduling decision costs over 100 replicas, for each strategy, and with prefix affinity over 100,000 remembered
 * prompts. Run: `npx node bench/micro/scheduler.ts`; with `--expose-gc` it also says how many bytes a decision leaves behind. The
 * figure to hold: prefix-cache p95 under 100 µs.
 */
import { createRandom } from '../../src/base/random.ts';
import { STRATEGY_NAMES } from '../../src/contract/scheduling.ts';
import {
  ENTRY_BYTES,
  PREFIX_INDEX_BYTES,
  PrefixIndex,
} from '../../src/decide/scheduling/affinity/prefix-index.ts';
import { PromptBlocks } from '../../src/decide/scheduling/affinity/prompt-blocks.ts';
import { DATA_NEEDS, type DataNeed } from '../../src/decide/scheduling/pick/decision.ts';
import { ReplicaColumns } from '../../src/decide/scheduling/pick/replica-columns.ts';
import { Scheduler } from '../../src/decide/scheduling/pick/scheduler.ts';
import { STRATEGIES } from '../../src/decide/scheduling/pick/strategies.ts';
import { measure, print } from './measure.ts';

const REPLICAS = 100;
const PROMPTS = 100_000;
const CALLS = 100_000;
/** 5,120 characters: a system prompt that one in 100 share, then text of their own. */
const SYSTEM_CHARS = 1_024;
const OWN_CHARS = 4_096;

const chance = createRandom(1);
const columns = new ReplicaColumns(REPLICAS);
columns.assign(
  Array.from({ length: REPLICAS }, (_, slot) => ({ id: `m/${slot}`, slot, life: 1, window: 64, weight: 1 })),
);
for (let index = 0; index < REPLICAS; index++) {
  columns.inFlight[index] = chance.int(32);
  columns.work[index] = columns.inFlight[index]! * 800;
  columns.gpuLoad[index] = chance.next();
  columns.memoryUsage[index] = chance.next();
}

const memory = new SharedArrayBuffer(PREFIX_INDEX_BYTES);
const index = new PrefixIndex(memory);
const blocks = new PromptBlocks();
const promptOf = (prompt: number) =>
  blocks
    .start(0)
    .add(`system ${prompt % 1000} `.padEnd(SYSTEM_CHARS, 's'))
    .add(`prompt ${prompt} `.padEnd(OWN_CHARS, 'u'));
for (let prompt = 0; prompt < PROMPTS; prompt++)
  index.remember(promptOf(prompt), prompt % REPLICAS, 1, prompt);

const known = new Int32Array(REPLICAS);
let found = 0;
for (let prompt = 0; prompt < PROMPTS; prompt++) {
  index.lookup(promptOf(prompt), columns, PROMPTS, known);
  if (known[prompt % REPLICAS] === blocks.count) found++;
}
console.log(
  `${PROMPTS} prompts of ${blocks.count} blocks: ${found} still known in full, ${index.size} entries of ${ENTRY_BYTES} bytes in ` +
    `${(index.bytes / 1048576).toFixed(0)} MiB (all workers of a gateway together)`,
);

const available = new Set(Object.keys(DATA_NEEDS) as DataNeed[]);
const ready = Array.from({ length: 512 }, () => {
  const own = new PromptBlocks().start(0);
  const prompt = chance.int(PROMPTS);
  return own
    .add(`system ${prompt % 1000} `.padEnd(SYSTEM_CHARS, 's'))
    .add(`prompt ${prompt} `.padEnd(OWN_CHARS, 'u'));
});
for (const name of STRATEGY_NAMES) {
  const spec = STRATEGIES[name];
  const scheduler = new Scheduler({ name, spec, columns, chance, available, prefixIndex: index });
  const request = {
    blocks: ready[0]!,
    sessionHash: 1,
    promptTokens: 1_300,
    answerTokens: 200,
    nowMs: PROMPTS,
  };
  const decide = (call: number) => {
    request.blocks = ready[call & 511]!;
    request.sessionHash = call + 1;
    request.nowMs = PROMPTS + call;
    const picked = scheduler.decide(request);
    scheduler.settle(picked, request);
  };
  print(measure(`${name}: decide over ${REPLICAS} replicas`, CALLS, decide));
  printGarbage(decide);
}
const text = 'k'.repeat(5_120);
print(measure('hash a prompt of 5,120 characters', 20_000, () => blocks.start(0).add(text)));
print(
  measure('hash a prompt of 32,768 characters (the most)', 5_000, () =>
    blocks.start(0).add('k'.repeat(32_768)),
  ),
);

/** Few enough calls for no collection to come in between. */
function printGarbage(decide: (call: number) => void): void {
  if (globalThis.gc === undefined) return;
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  for (let call = 0; call < 10_000; call++) decide(call);
  console.log(`  ${((process.memoryUsage().heapUsed - before) / 10_000).toFixed(0)} bytes per decision`);
}
