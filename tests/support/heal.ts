/** For tests of healing: a system under a load without a pause, faults put into its engines, and the facts that follow. */
import { type LoadError, type LoadResult, runLoad } from '../../bench/load-client.ts';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import type { Fact } from '../../src/contract/facts.ts';
import type { SystemUnderTest } from './system-under-test.ts';

export type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>;

/** Newest last. */
export async function factsOf<Type extends Fact['type']>(
  system: SystemUnderTest,
  type: Type,
  replica?: string,
): Promise<FactOf<Type>[]> {
  const answer = await fetch(`${system.adminUrl()}/api/v1/facts?limit=1000`);
  const { facts } = (await answer.json()) as { facts: Fact[] };
  return facts
    .filter((fact): fact is FactOf<Type> => fact.type === type)
    .filter((fact) => replica === undefined || ('replica' in fact && fact.replica === replica))
    .reverse();
}

export function replicaIn({ pools }: SystemStatus, id: string) {
  const replica = pools.flatMap(({ replicas }) => replicas).find((known) => known.id === id);
  if (replica === undefined) throw new Error(`there is no replica ${id}`);
  return replica;
}

/** Puts a fault into a simulator. */
export async function arm(system: SystemUnderTest, id: string, fault: object): Promise<void> {
  const { url } = replicaIn(await system.status(), id);
  const answer = await fetch(`${url}/simulator/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fault),
  }).catch((error: Error) => {
    // Who ends at once has no time to answer.
    if (JSON.stringify(fault).includes('"exit"')) return null;
    throw error;
  });
  if (answer !== null && !answer.ok) throw new Error(`the fault was refused: ${await answer.text()}`);
}

export interface SteadyLoad {
  /** Ends the load when what runs has ended. */
  stop(): Promise<LoadResult>;
}

/** Streams without a pause until it is stopped. */
export function steadyStreams(
  system: SystemUnderTest,
  model: string,
  { concurrency = 8, maxTokens = 60 }: { concurrency?: number; maxTokens?: number } = {},
): SteadyLoad {
  const enough = new AbortController();
  const load = runLoad({
    url: `${system.v1()}/chat/completions`,
    stream: true,
    requests: Number.POSITIVE_INFINITY,
    concurrency,
    enough: enough.signal,
    body: (index) => ({
      model,
      temperature: 0,
      max_tokens: maxTokens,
      messages: [{ role: 'user', content: `Question ${index % 20}` }],
      stream_options: { include_usage: true },
    }),
  });
  return {
    stop: () => {
      enough.abort();
      return load;
    },
  };
}

/** Waits until the incident of a replica is over, and gives all that was said of it. */
export async function untilHealed(
  system: SystemUnderTest,
  id: string,
  generationBefore: number,
  timeoutMs = 30_000,
): Promise<void> {
  await system.until((status) => {
    const { state, generation } = replicaIn(status, id);
    return state === 'ready' && generation > generationBefore;
  }, timeoutMs);
}

export function errorsOf({ records }: LoadResult): LoadError[] {
  return records.map(({ error }) => error).filter((error) => error !== null);
}
