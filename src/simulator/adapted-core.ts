/** The simulated engine as requests for one of its LoRA adapters see it: another name, another text, the same slots. */
import type { EngineCore } from '../contract/ports/engine-core.ts';

export function adaptedCore(engine: EngineCore, adapter: string): EngineCore {
  return {
    info: { ...engine.info, model: adapter },
    tokenize: (text, options) => engine.tokenize(text, options),
    detokenize: (tokens) => engine.detokenize(tokens),
    renderChat: (messages, options) => engine.renderChat(messages, options),
    generate: (request, signal) => engine.generate({ ...request, adapter }, signal),
    embed: (tokens, signal) => engine.embed(tokens, signal),
    canAccept: () => engine.canAccept(),
    metrics: () => engine.metrics(),
    close: () => engine.close(),
  };
}
