/**
 * The fields of a chat that ask for tool calls and for reasoning, as what the core understands. A core without tools answers
 * as if there were none, and refuses where a call is demanded.
 */
import type { ChatTurn, EngineCore, Tool, ToolUse } from '../../contract/ports/engine-core.ts';
import { isRecord } from '../json/parse-object.ts';
import { checkSchemaSize } from './parse-structure.ts';
import { booleanField, type Fields, refuse } from './request-fields.ts';

/** As in the OpenAI API. */
const TOOLS_MAX = 128;
const TOOL_NAME = /^[\w.:/-]{1,128}$/;

/** Undefined: this answer calls nothing. */
export function parseTools(
  core: EngineCore,
  fields: Fields,
  turns: readonly ChatTurn[],
  { continued }: { continued: boolean },
): ToolUse | undefined {
  const tools = parseToolList(fields.tools ?? null);
  const parallel = booleanField(fields, 'parallel_tool_calls', true);
  const choice = parseChoice(fields.tool_choice ?? null, tools);
  if (choice === 'none') return undefined;
  if (core.info.canCallTools !== true) {
    if (choice === 'auto') return undefined;
    throw refuse('tool_choice', fields.tool_choice, '"auto" or "none": this engine calls no tools');
  }
  if (tools.length === 0) return undefined;
  // Whoever hands in a result wants the answer that is made of it; an answer that has begun as text goes on as text.
  if (choice === 'auto' && (continued || turns.at(-1)?.role === 'tool')) return undefined;
  return { tools, choice, parallel };
}

function parseToolList(value: unknown): Tool[] {
  if (value === null) return [];
  if (!Array.isArray(value)) throw refuse('tools', value, 'an array of objects');
  if (value.length > TOOLS_MAX) throw refuse('tools', value, `at most ${TOOLS_MAX} tools`);
  return value.map((tool: unknown, index) => parseTool(tool, `tools[${index}]`));
}

function parseTool(tool: unknown, param: string): Tool {
  if (!isRecord(tool)) throw refuse(param, tool, 'an object such as {"type":"function","function":{...}}');
  if (tool.type !== 'function') throw refuse(`${param}.type`, tool.type, '"function"');
  const fn = tool.function;
  if (!isRecord(fn)) throw refuse(`${param}.function`, fn, 'an object with a name');
  if (typeof fn.name !== 'string' || !TOOL_NAME.test(fn.name)) {
    throw refuse(`${param}.function.name`, fn.name, 'a name of letters, digits and _ - . : /');
  }
  const parameters = fn.parameters ?? {};
  if (!isRecord(parameters)) throw refuse(`${param}.function.parameters`, parameters, 'a JSON Schema');
  checkSchemaSize(parameters, `${param}.function.parameters`);
  // Without a schema there is nothing to fill in.
  const empty = Object.keys(parameters).length === 0;
  return { name: fn.name, parameters: empty ? { type: 'object', properties: {} } : parameters };
}

function parseChoice(value: unknown, tools: readonly Tool[]): ToolUse['choice'] | 'none' {
  if (value === null) return tools.length > 0 ? 'auto' : 'none';
  if (value === 'none' || value === 'auto') return value;
  if (value === 'required') {
    if (tools.length === 0) throw refuse('tool_choice', value, 'tools together with it');
    return value;
  }
  const name = isRecord(value) && isRecord(value.function) ? value.function.name : undefined;
  if (typeof name !== 'string') {
    throw refuse(
      'tool_choice',
      value,
      '"none", "auto", "required" or {"type":"function","function":{"name":...}}',
    );
  }
  if (!tools.some((tool) => tool.name === name)) {
    const known = tools.map((tool) => tool.name).join(', ') || 'none';
    throw refuse('tool_choice.function.name', name, `one of the tools: ${known.slice(0, 200)}`);
  }
  return { name };
}

/**
 * Whether the answer begins with a thought: `chat_template_kwargs.enable_thinking` (Qwen) or `.thinking` (DeepSeek) decide,
 * else the core's own habit.
 */
export function parseReasoning(core: EngineCore, fields: Fields, habit: boolean): boolean {
  const kwargs = fields.chat_template_kwargs ?? null;
  if (kwargs !== null && !isRecord(kwargs)) throw refuse('chat_template_kwargs', kwargs, 'an object');
  if (core.info.canReason !== true) return false;
  const asked = kwargs?.enable_thinking ?? kwargs?.thinking;
  return typeof asked === 'boolean' ? asked : habit;
}
