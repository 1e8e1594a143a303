/**
 * `model_list` to our `models`: deployments of one name become one model with several addresses. A deployment that can not
 * be used is left out, with the reason; a name without any usable deployment is no model here.
 */
import type { ConfigInput } from '../../../contract/config-schema.ts';
import { type DeploymentRates, limitsOf, takeRates } from './convert-limits.ts';
import type { LocatedMap, Place } from './located.ts';
import { leftOver, type NotHonoured } from './not-honoured.ts';
import { PROVIDERS, type Provider, providerOf } from './providers.ts';
import type { References } from './references.ts';

export type ModelInput = NonNullable<ConfigInput['models']>[number];

/** One usable entry of `model_list`. */
interface Deployment {
  group: string;
  place: Place;
  provider: Provider;
  /** Null: the engine is to be started here. */
  url: string | null;
  servedModel: string;
  apiKey: string | undefined;
  windowMax: number | undefined;
  rates: DeploymentRates;
  weight: { amount: number; place: Place } | undefined;
}

export interface ConvertedModels {
  models: ModelInput[];
  /** Where each model was first written, by its name. */
  places: Map<string, Place>;
  notHonoured: NotHonoured[];
}

export function convertModels(entries: readonly LocatedMap[], references: References): ConvertedModels {
  const converted: ConvertedModels = { models: [], places: new Map(), notHonoured: [] };
  const groups = new Map<string, Deployment[]>();
  for (const entry of entries) {
    const { deployment, notes } = readDeployment(entry, references);
    converted.notHonoured.push(...notes);
    if (deployment === null) continue;
    const group = groups.get(deployment.group);
    if (group === undefined) groups.set(deployment.group, [deployment]);
    else group.push(deployment);
  }
  for (const [name, deployments] of groups) {
    const [first] = deployments as [Deployment];
    converted.places.set(name, first.place);
    converted.models.push(modelOf(name, deployments, converted.notHonoured));
  }
  return converted;
}

function readDeployment(
  entry: LocatedMap,
  references: References,
): { deployment: Deployment | null; notes: NotHonoured[] } {
  const place = entry.place();
  const leaveOut = (reason: string) => ({
    deployment: null,
    notes: [{ ...place, reason: `this deployment is left out: ${reason}` }],
  });
  const group = entry.take('model_name');
  const params = entry.map('litellm_params');
  const model = params?.take('model');
  if (typeof group !== 'string' || group === '') return leaveOut('it has no model_name');
  if (params === undefined || typeof model !== 'string' || model === '')
    return leaveOut('it has no litellm_params.model');
  if (group.includes('*') || model.includes('*'))
    return leaveOut('names with * are not served; write each model as an entry of its own');
  const named = params.take('custom_llm_provider');
  const split = providerOf(model, typeof named === 'string' ? named : undefined);
  const base = textOf(params.take('api_base') ?? params.take('base_url'));
  if ('unknown' in split && base === undefined)
    return leaveOut(`provider "${split.unknown}" is not one whose API is the OpenAI API`);
  // A name with a slash that is no provider, at an address of its own: an OpenAI-compatible server with that model.
  const known = 'unknown' in split ? { provider: 'openai_like', name: model } : split;
  if ('unknown' in split && FOREIGN.includes(split.unknown))
    return leaveOut(`provider "${split.unknown}" is not one whose API is the OpenAI API`);
  const provider = PROVIDERS[known.provider] as Provider;
  const url = addressOf(provider, base, references);
  if (url === null && provider.startsEngine !== true)
    return leaveOut('it has no api_base, and its provider has no address of its own');
  const fault = url === null ? null : addressFault(url);
  if (fault !== null) return leaveOut(fault);
  const windowMax = params.take('max_parallel_requests');
  const notes: NotHonoured[] = [];
  if (windowMax !== undefined && !isWindow(windowMax))
    notes.push({
      ...params.place('max_parallel_requests'),
      reason: 'would be right: an integer from 1 to 4096',
    });
  const deployment: Deployment = {
    group,
    place,
    provider,
    url,
    servedModel: references.text(known.name),
    apiKey: keyOf(params, provider, base !== undefined, references),
    windowMax: isWindow(windowMax) ? windowMax : undefined,
    rates: takeRates(params, notes),
    weight: takeWeight(params, notes),
  };
  return { deployment, notes: [...notes, ...leftOver(params), ...leftOver(entry)] };
}

/** Providers with an API of their own, whatever their address. */
const FOREIGN = [
  ...['azure', 'azure_ai', 'azure_text', 'anthropic', 'bedrock', 'sagemaker', 'sagemaker_chat', 'vertex_ai'],
  ...['gemini', 'cohere', 'cohere_chat', 'replicate', 'watsonx', 'databricks', 'cloudflare', 'palm', 'ai21'],
  ...[
    'predibase',
    'oobabooga',
    'triton',
    'huggingface',
    'jina_ai',
    'voyage',
    'snowflake',
    'groq',
    'openrouter',
  ],
];

function addressOf(provider: Provider, base: string | undefined, references: References): string | null {
  if (base !== undefined) return references.text(base);
  if (provider.address !== undefined) return provider.address;
  return provider.addressVariable === undefined ? null : references.variable(provider.addressVariable);
}

/** Null for an address that can be used, or that only the environment knows. */
function addressFault(url: string): string | null {
  if (url.includes('${')) return null;
  if (!URL.canParse(url) || !/^https?:/.test(url)) return 'its api_base is not an http or https address';
  const { pathname, search } = new URL(url);
  if (/^\/(v1\/?)?$/.test(pathname) && search === '') return null;
  return `its api_base has the path "${pathname}${search}"; only origins and origin/v1 are OpenAI-compatible addresses here`;
}

/** LiteLLM reads the variable of the provider when the file has no key; an engine of one's own may well need none. */
function keyOf(
  params: LocatedMap,
  { keyVariable, address }: Provider,
  ownAddress: boolean,
  references: References,
): string | undefined {
  const written = textOf(params.take('api_key'));
  if (written !== undefined && written !== '') return references.text(written);
  if (keyVariable === undefined) return undefined;
  const needed = address !== undefined && !ownAddress;
  return needed || references.gives(keyVariable) ? references.variable(keyVariable) : undefined;
}

function modelOf(name: string, all: readonly Deployment[], notes: NotHonoured[]): ModelInput {
  const remote = all.filter(({ url }) => url !== null);
  if (remote.length === 0) return startedModel(name, all, notes);
  for (const { place } of all.filter(({ url }) => url === null)) {
    notes.push({
      ...place,
      reason:
        'this deployment is left out: engines to start and engines that run already can not share a name',
    });
  }
  const engines = new Set(remote.map(({ provider }) => provider.engine));
  const [first] = remote as [Deployment];
  const same = <Key extends 'servedModel' | 'apiKey' | 'windowMax'>(key: Key): boolean =>
    remote.every((deployment) => deployment[key] === first[key]);
  const weightOf = weights(remote);
  const shared = { servedModel: same('servedModel'), apiKey: same('apiKey'), windowMax: same('windowMax') };
  return {
    model_name: name,
    // Each engine is used for what all of them can do.
    engine: engines.size === 1 ? first.provider.engine : 'openai',
    urls: remote.map((deployment) => {
      const { url, servedModel, apiKey, windowMax } = deployment;
      const own = {
        ...(!shared.servedModel && { served_model_name: servedModel }),
        ...(!shared.apiKey && apiKey !== undefined && { api_key: apiKey }),
        ...(!shared.windowMax && windowMax !== undefined && { max_batch_size: windowMax }),
        ...weightOf(deployment),
      };
      return Object.keys(own).length === 0 ? (url as string) : { url: url as string, ...own };
    }),
    ...(shared.servedModel && first.servedModel !== name && { served_model_name: first.servedModel }),
    ...(shared.apiKey && first.apiKey !== undefined && { api_key: first.apiKey }),
    ...(shared.windowMax && first.windowMax !== undefined && { max_batch_size: first.windowMax }),
    ...limitsOf(remote, notes),
  };
}

function startedModel(name: string, all: readonly Deployment[], notes: NotHonoured[]): ModelInput {
  const [first, ...others] = all as [Deployment, ...Deployment[]];
  const alike = others.filter(({ servedModel }) => servedModel === first.servedModel);
  for (const { place } of others.filter((other) => !alike.includes(other))) {
    notes.push({ ...place, reason: 'this deployment is left out: engines of one name load the same model' });
  }
  for (const { weight } of [first, ...alike])
    if (weight !== undefined)
      notes.push({ ...weight.place, reason: 'engines of one model that are started here count alike' });
  return {
    model_name: name,
    engine: first.provider.engine,
    model: first.servedModel,
    ...(alike.length > 0 && { replicas: alike.length + 1 }),
    ...(first.windowMax !== undefined && { max_batch_size: first.windowMax }),
    ...limitsOf([first, ...alike], notes),
  };
}

const WEIGHT_MIN = 0.01;
const WEIGHT_MAX = 1_000;

function takeWeight(params: LocatedMap, notes: NotHonoured[]): Deployment['weight'] {
  const written = params.take('weight');
  if (written === undefined) return undefined;
  const place = params.place('weight');
  if (typeof written === 'number' && written > 0 && Number.isFinite(written))
    return { amount: written, place };
  notes.push({ ...place, reason: 'would be right: a number above 0' });
  return undefined;
}

/** Only their proportions count, so those that are too large for us are made smaller together. */
function weights(deployments: readonly Deployment[]): (deployment: Deployment) => { weight?: number } {
  const amounts = deployments.map(({ weight }) => weight?.amount ?? 1);
  const scale = Math.min(1, WEIGHT_MAX / Math.max(...amounts));
  if (new Set(amounts).size === 1) return () => ({});
  return ({ weight }) => ({ weight: Math.max(WEIGHT_MIN, (weight?.amount ?? 1) * scale) });
}

function isWindow(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 4096;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
