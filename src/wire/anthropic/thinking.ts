/** Whether the model is to reason before it answers, how much, and what of it the client wants to see. */
import type { CanonicalRequest, RequestTraits } from '../canonical/chat-request.ts';
import { type Fields, isSet, recordAt, refuse } from './request-fields.ts';

export type ThinkingDisplay =
  | 'full'
  /** Blocks without their text. */
  | 'omitted'
  /** No blocks: the client said that it wants no thinking, whatever the model does. */
  | 'hidden';

/** OpenAI's scale ends at `high`, for most engines. */
const EFFORTS: Readonly<Record<string, string>> = {
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'high',
};

export function translateThinking(
  fields: Fields,
  { lenientFields }: RequestTraits,
): Pick<CanonicalRequest, 'chat_template_kwargs' | 'reasoning_effort'> & { display: ThinkingDisplay } {
  const effort = effortOf(fields);
  if (!isSet(fields.thinking)) return { ...effort, display: 'full' };
  const thinking = recordAt('thinking', fields.thinking);
  const display = thinking.display === 'omitted' ? 'omitted' : 'full';
  switch (thinking.type) {
    case 'enabled':
      return { ...effort, ...templateSwitch(true, lenientFields), display };
    case 'disabled':
      return { ...effort, ...templateSwitch(false, lenientFields), display: 'hidden' };
    // Whether to think is up to the model then.
    case 'adaptive':
    case 'between_tools':
      return { ...effort, display };
    default:
      throw refuse('thinking.type', thinking.type, '"enabled", "disabled", "adaptive" or "between_tools"');
  }
}

/** Chat templates listen to one of these names (Qwen: `enable_thinking`; DeepSeek, Granite: `thinking`). */
function templateSwitch(on: boolean, lenientFields: boolean): Pick<CanonicalRequest, 'chat_template_kwargs'> {
  return lenientFields ? { chat_template_kwargs: { enable_thinking: on, thinking: on } } : {};
}

function effortOf(fields: Fields): Pick<CanonicalRequest, 'reasoning_effort'> {
  if (!isSet(fields.output_config)) return {};
  const { effort } = recordAt('output_config', fields.output_config);
  if (!isSet(effort)) return {};
  const known = typeof effort === 'string' && Object.hasOwn(EFFORTS, effort) ? EFFORTS[effort] : undefined;
  if (known === undefined)
    throw refuse('output_config.effort', effort, '"low", "medium", "high", "xhigh" or "max"');
  return { reasoning_effort: known };
}
