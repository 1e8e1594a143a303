/** What the package offers to Node programs; values also stand in `index.js`. Everything else is inside, and may change. */

export type {
  ModelList,
  ModelStatus,
  PoolStatus,
  ReplicaStatus,
  SystemStatus,
} from './contract/admin-api.ts';
export { type ErrorCode, PlatformError } from './contract/errors.ts';
export type { EngineKind, ReplicaState } from './contract/fleet.ts';
export type { LoraAdapter } from './contract/lora.ts';
export type { InferenceEngineOptions } from './library/engine-options.ts';
export type {
  CompleteGeneration,
  Endpoint,
  GenerateOptions,
  Generation,
  GenerationStream,
  Message,
  Prompt,
  StreamedGeneration,
  Usage,
} from './library/generation.ts';
export { InferenceEngine } from './library/inference-engine.ts';
