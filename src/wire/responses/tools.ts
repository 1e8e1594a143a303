/** `tools` and `tool_choice` of a Responses request as chat has them. Only functions: what the vendor runs itself is refused. */
import type { CanonicalRequest, CanonicalTool, CanonicalToolChoice } from '../canonical/chat-request.ts';
import { isRecord } from '../json/parse-object.ts';
import { refuseField } from './refuse-field.ts';

export interface ToolFields {
  chat: Pick<CanonicalRequest, 'tools' | 'tool_choice'>;
  /** What the response object says. */
  echo: { tools: unknown[]; tool_choice: unknown };
}

const CHOICES = ['auto', 'none', 'required'] as const;

export function parseTools(fields: Readonly<Record<string, unknown>>): ToolFields {
  const tools = fields.tools ?? [];
  if (!Array.isArray(tools)) throw refuseField('tools', tools, 'an array of tools');
  const parsed = tools.map((tool, index) => parseTool(tool, `tools[${index}]`));
  const choice = fields.tool_choice ?? null;
  const { allowed, chatChoice } = parseChoice(choice);
  const offered = allowed === null ? parsed : parsed.filter(({ chat }) => allowed.has(chat.function.name));
  return {
    chat: {
      ...(offered.length > 0 && { tools: offered.map(({ chat }) => chat) }),
      ...(chatChoice !== undefined && { tool_choice: chatChoice }),
    },
    echo: { tools: parsed.map(({ echo }) => echo), tool_choice: choice ?? 'auto' },
  };
}

function parseTool(tool: unknown, param: string): { chat: CanonicalTool; echo: Record<string, unknown> } {
  if (!isRecord(tool)) throw refuseField(param, tool, 'an object of type function');
  if (tool.type !== 'function')
    throw refuseField(
      `${param}.type`,
      tool.type,
      '"function": tools that the vendor runs on its own servers do not exist here',
    );
  const { name, description = null, parameters = null, strict = null } = tool;
  if (typeof name !== 'string' || name === '') throw refuseField(`${param}.name`, name, 'a name');
  if (description !== null && typeof description !== 'string')
    throw refuseField(`${param}.description`, description, 'a string');
  if (parameters !== null && !isRecord(parameters))
    throw refuseField(`${param}.parameters`, parameters, 'a JSON Schema, which is an object');
  if (strict !== null && typeof strict !== 'boolean')
    throw refuseField(`${param}.strict`, strict, 'true or false');
  return {
    chat: {
      type: 'function',
      function: {
        name,
        ...(description !== null && { description }),
        ...(parameters !== null && { parameters }),
        ...(strict !== null && { strict }),
      },
    },
    echo: { ...tool, description, parameters, strict: strict ?? true },
  };
}

/** `allowed` is null where every tool is. */
function parseChoice(choice: unknown): {
  allowed: Set<string> | null;
  chatChoice: CanonicalToolChoice | undefined;
} {
  if (choice === null) return { allowed: null, chatChoice: undefined };
  const word = CHOICES.find((known) => known === choice);
  if (word !== undefined) return { allowed: null, chatChoice: word };
  if (isRecord(choice) && choice.type === 'function') {
    if (typeof choice.name !== 'string') throw refuseField('tool_choice.name', choice.name, 'a name');
    return { allowed: null, chatChoice: { type: 'function', function: { name: choice.name } } };
  }
  if (isRecord(choice) && choice.type === 'allowed_tools') return parseAllowed(choice);
  throw refuseField(
    'tool_choice',
    isRecord(choice) ? choice.type : choice,
    '"auto", "none", "required", {"type":"function","name"} or {"type":"allowed_tools"}',
  );
}

function parseAllowed({ mode, tools }: Record<string, unknown>): {
  allowed: Set<string>;
  chatChoice: CanonicalToolChoice;
} {
  if (mode !== 'auto' && mode !== 'required')
    throw refuseField('tool_choice.mode', mode, '"auto" or "required"');
  if (!Array.isArray(tools)) throw refuseField('tool_choice.tools', tools, 'an array of tools');
  const names = tools.map((tool, index) => {
    const name = isRecord(tool) && tool.type === 'function' ? tool.name : undefined;
    if (typeof name !== 'string')
      throw refuseField(`tool_choice.tools[${index}]`, tool, '{"type":"function","name"}');
    return name;
  });
  return { allowed: new Set(names), chatChoice: mode };
}
