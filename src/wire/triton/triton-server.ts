/**
 * One Triton with one model, whatever protocol asks: what is loaded and ready, what is running, and the counts of its
 * metrics. The HTTP dialect and the gRPC service are two faces of one instance.
 */
import type { Clock } from '../../base/clock.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { checkInputs, type GivenTensor, type Value } from './check-inputs.ts';
import { generate, type Outputs } from './generate.ts';
import { DECLARATIONS, type ModelDeclaration, type TritonBackend } from './model-declaration.ts';
import { TritonError } from './triton-error.ts';

export interface TritonServerOptions {
  core: EngineCore;
  clock: Clock;
  backend: TritonBackend;
}

export interface InferCall {
  model: string;
  requestId: string;
  tensors: readonly GivenTensor[];
  parameters: Readonly<Record<string, Value>>;
  /** Whether the protocol takes any number of answers. */
  decoupledAllowed: boolean;
  /** Fires when the client has gone. */
  signal: AbortSignal;
}

export class TritonServer {
  readonly core: EngineCore;
  readonly backend: TritonBackend;
  readonly declaration: ModelDeclaration;
  readonly counts = { success: 0, backendFailures: 0, canceled: 0, executions: 0, durationUs: 0 };
  readonly #clock: Clock;
  #loaded = true;
  #draining = false;
  #active = 0;
  readonly #idle: (() => void)[] = [];

  constructor({ core, clock, backend }: TritonServerOptions) {
    this.core = core;
    this.backend = backend;
    this.declaration = DECLARATIONS[backend];
    this.#clock = clock;
  }

  get ready(): boolean {
    return this.#loaded && !this.#draining;
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  isReady(model: string): boolean {
    this.requireModel(model);
    return this.ready;
  }

  setLoaded(model: string, loaded: boolean): void {
    if (model !== this.core.info.model) {
      const text = loaded
        ? `failed to load '${model}', failed to poll from model repository`
        : `failed to unload '${model}': the model is unknown`;
      throw new TritonError('INTERNAL', text);
    }
    this.#loaded = loaded;
  }

  requireModel(model: string): void {
    if (model !== this.core.info.model)
      throw new TritonError('NOT_FOUND', `Request for unknown model: '${model}' is not found`);
  }

  /** Yields the outputs of each answer. Throws `TritonError`, also for what the core throws. */
  async *infer(call: InferCall): AsyncGenerator<Outputs, void, void> {
    const { core, backend, declaration, counts } = this;
    this.requireModel(call.model);
    if (!this.#loaded)
      throw new TritonError(
        'UNAVAILABLE',
        `Request for unknown model: '${call.model}' has no available versions`,
      );
    if (this.#draining)
      throw new TritonError('UNAVAILABLE', 'Server is stopping, scheduler is not accepting requests');
    if (declaration.decoupled && !call.decoupledAllowed)
      throw new TritonError('UNSUPPORTED', "doesn't support models with decoupled transaction policy");
    const inputs = checkInputs(call.model, declaration, call.tensors);
    const startMs = this.#clock.monotonicMs();
    this.#active++;
    let done = false;
    try {
      const { parameters, requestId, signal } = call;
      yield* generate({ core, backend, inputs, parameters, requestId, signal });
      counts.success++;
      done = true;
    } catch (thrown) {
      done = true;
      if (call.signal.aborted) counts.canceled++;
      else counts.backendFailures++;
      throw TritonError.from(thrown);
    } finally {
      if (!done) counts.canceled++;
      counts.executions++;
      counts.durationUs += Math.round((this.#clock.monotonicMs() - startMs) * 1000);
      this.#active--;
      if (this.#active === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** From here on nothing new is taken. Resolves when the last request has ended. */
  drain(): Promise<void> {
    this.#draining = true;
    if (this.#active === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}
