/** Tools and their choice. Only tools with a schema of their own: what the vendor runs itself, or only its models know, is refused. */
import type { CanonicalRequest, CanonicalTool, CanonicalToolChoice } from '../canonical/chat-request.ts';
import { showFound } from '../json/parse-object.ts';
import {
  arrayAt,
  booleanAt,
  type Fields,
  isSet,
  nameAt,
  recordAt,
  refuse,
  refuseUse,
  stringAt,
} from './request-fields.ts';

type ToolFields = Pick<CanonicalRequest, 'tools' | 'tool_choice' | 'parallel_tool_calls'>;

export function translateTools(fields: Fields): ToolFields {
  const list = isSet(fields.tools) ? arrayAt('tools', fields.tools) : [];
  const tools = list.map((value, index) => translateTool(`tools.${index}`, value));
  const choice = isSet(fields.tool_choice) ? recordAt('tool_choice', fields.tool_choice) : null;
  const wanted = choice === null ? undefined : translateChoice(choice);
  if (tools.length === 0) {
    if (wanted !== undefined && wanted !== 'auto' && wanted !== 'none')
      throw refuseUse('tool_choice', 'a tool is demanded, but `tools` is empty');
    return {};
  }
  const serial = booleanAt('tool_choice.disable_parallel_tool_use', choice?.disable_parallel_tool_use);
  return {
    tools,
    ...(wanted !== undefined && { tool_choice: wanted }),
    ...(serial && { parallel_tool_calls: false }),
  };
}

function translateTool(param: string, value: unknown): CanonicalTool {
  const tool = recordAt(param, value);
  if (isSet(tool.type) && tool.type !== 'custom') {
    throw refuseUse(
      `${param}.type`,
      `tools of type ${showFound(tool.type)} are the vendor's own and are not offered here; describe the tool by name and input_schema`,
    );
  }
  const description = isSet(tool.description)
    ? stringAt(`${param}.description`, tool.description)
    : undefined;
  return {
    type: 'function',
    function: {
      name: nameAt(`${param}.name`, tool.name),
      ...(description !== undefined && { description }),
      parameters: recordAt(`${param}.input_schema`, tool.input_schema),
      ...(booleanAt(`${param}.strict`, tool.strict) && { strict: true }),
    },
  };
}

function translateChoice(choice: Record<string, unknown>): CanonicalToolChoice {
  switch (choice.type) {
    case 'auto':
      return 'auto';
    case 'none':
      return 'none';
    case 'any':
      return 'required';
    case 'tool':
      return { type: 'function', function: { name: nameAt('tool_choice.name', choice.name) } };
    default:
      throw refuse('tool_choice.type', choice.type, '"auto", "any", "tool" or "none"');
  }
}
