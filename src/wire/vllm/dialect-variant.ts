/**
 * What another engine's dialect is made of, where it differs from vLLM's: its own paths, the shape of its answers, its errors.
 * Reading of requests, running of generations, backpressure and drain are the same for all and stay in this folder.
 */
import type { Clock } from '../../base/clock.ts';
import type { PlatformError } from '../../contract/errors.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { AdapterShelf } from './adapters.ts';
import type { AnswerIdentity, Shaper } from './answer-shapes.ts';
import type { GenerationSpec } from './parse-generation.ts';
import type { Fields } from './request-fields.ts';
import type { SingleRun } from './run-single.ts';
import type { RunningRequests } from './running-requests.ts';
import type { StreamFormat } from './stream-format.ts';

export interface Work {
  exchange: HttpExchange;
  fields: Fields;
  /** As the request names it: the model, or an adapter on it. */
  core: EngineCore;
  /** Fires when the client has gone. */
  signal: AbortSignal;
  requestId: string;
}

export type Read = (exchange: HttpExchange) => void | Promise<void>;
export type WorkAnswer = (work: Work) => void | Promise<void>;

/** What a variant is given to answer with. */
export interface DialectParts {
  core: EngineCore;
  clock: Clock;
  /** When the dialect began, Unix seconds. */
  startedS: number;
  release: string;
  /** LoRA adapters beside the model; undefined: the engine takes none. */
  adapters: AdapterShelf | undefined;
  running: RunningRequests;
  readonly draining: boolean;
  /** Answers a chat or completions request in the OpenAI dialect, shaped by the variant. */
  generate(work: Work, endpoint: 'chat' | 'completions'): Promise<void>;
  /** One prompt, one answer, for end points of the engine's own. `fields` are those of /v1/completions or of chat. */
  runSingle(work: Work, endpoint: 'chat' | 'completions', fields: Fields): SingleRun;
  /** How many requests a stop string ended, which the core counts as aborted. */
  readonly stoppedByString: number;
}

/** Paths that are null are taken away from those of vLLM. */
export interface DialectVariant {
  reads(parts: DialectParts): Record<string, Read | null>;
  /** POST with a JSON object. */
  works(parts: DialectParts): Record<string, WorkAnswer | null>;
  /** Calls that change the engine: any body, or none. */
  calls?(parts: DialectParts): Record<string, Read>;
  /** Names the entry of `calls` for paths with a value in them. */
  keyOf?(path: string): string;
  /** Paths that want no key, beside those of vLLM. */
  openPaths?: readonly string[];
  /** Whether a request that names this model is answered. Default: the same name. */
  acceptsModel?(asked: string, served: string): boolean;
  /** The adapter that a request means by this model. Default: that of this very name. */
  adapterOf?(asked: string): string | undefined;
  sendError(exchange: HttpExchange, error: PlatformError, requestId: string | undefined): void;
  format: StreamFormat;
  createShaper(spec: GenerationSpec, identity: AnswerIdentity, core: EngineCore): Shaper;
}
