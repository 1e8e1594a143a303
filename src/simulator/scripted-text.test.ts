import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { GenerateRequest, ToolUse } from '../contract/ports/engine-core.ts';
import { appendParts, ChatOutput, type ChatParts } from '../wire/vllm/chat-output.ts';
import { scriptedText } from './scripted-text.ts';

const weather = z.strictObject({ city: z.string(), days: z.int().min(1).max(7) });
const alarm = z.strictObject({ at: z.enum(['dawn', 'noon']), loud: z.boolean() });
const TOOLS = [
  { name: 'get_weather', parameters: z.toJSONSchema(weather) as Record<string, unknown> },
  { name: 'set_alarm', parameters: z.toJSONSchema(alarm) as Record<string, unknown> },
];

function write(request: Partial<GenerateRequest>, seed = 7): ChatParts {
  const { text } = scriptedText(request as GenerateRequest, () => seed) ?? { text: '' };
  const output = new ChatOutput({ reasoning: true, tools: true });
  const parts = output.push(text);
  appendParts(parts, output.finish());
  return parts;
}

const use = (changes: Partial<ToolUse> = {}): ToolUse => ({
  tools: TOOLS,
  choice: 'auto',
  parallel: true,
  ...changes,
});

describe('scriptedText', () => {
  it('calls every tool once, with arguments that obey their schemas, for many seeds', () => {
    for (let seed = 0; seed < 200; seed++) {
      const { calls } = write({ tools: use() }, seed);
      expect(calls.map(({ name }) => name)).toEqual(['get_weather', 'set_alarm']);
      weather.parse(JSON.parse(calls[0]?.arguments ?? ''));
      alarm.parse(JSON.parse(calls[1]?.arguments ?? ''));
    }
  });

  it('makes one call where parallel calls are off, and just the named one', () => {
    expect(write({ tools: use({ parallel: false }) }).calls).toHaveLength(1);
    expect(write({ tools: use({ choice: { name: 'set_alarm' } }) }).calls).toMatchObject([
      { name: 'set_alarm' },
    ]);
  });

  it('writes the same for the same seed, and otherwise for another', () => {
    expect(write({ tools: use() }, 1)).toEqual(write({ tools: use() }, 1));
    expect(write({ tools: use() }, 1)).not.toEqual(write({ tools: use() }, 2));
  });

  it('thinks first when asked to, before calls, documents and free text', () => {
    expect(write({ reasoning: true, tools: use() })).toMatchObject({
      reasoning: expect.stringMatching(/^\w/),
      content: '',
    });
    const document = write({ reasoning: true, jsonSchema: TOOLS[0]?.parameters });
    expect(document.reasoning).not.toBe('');
    weather.parse(JSON.parse(document.content));
    expect(scriptedText({ reasoning: true } as GenerateRequest, () => 1)?.whole).toBe(false);
    expect(scriptedText({} as GenerateRequest, () => 1)).toBeNull();
  });
});
