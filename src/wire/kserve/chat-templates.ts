/**
 * Chat templates that many models share, by the names of `chat_template` in the configuration. None begins with a
 * begin-of-text token: the tokenizer behind a KServe model adds its own.
 */
import type { ChatTemplate } from '../../contract/fleet.ts';

export const BUILT_IN_TEMPLATES: Readonly<Record<string, ChatTemplate>> = {
  chatml: {
    source:
      "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    eosToken: '<|im_end|>',
  },
  llama3: {
    source:
      "{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    eosToken: '<|eot_id|>',
  },
  mistral: {
    // It has no role for the system: the text goes before the next message of the user.
    source:
      '{% set ns = namespace(system="") %}{% for message in messages %}' +
      "{% if message.role == 'system' %}{% set ns.system = ns.system + message.content + '\\n\\n' %}" +
      "{% elif message.role == 'assistant' %}{{ ' ' + message.content + eos_token }}" +
      "{% else %}{{ '[INST] ' + ns.system + message.content + ' [/INST]' }}{% set ns.system = '' %}{% endif %}" +
      '{% endfor %}',
    eosToken: '</s>',
  },
  plain: {
    source:
      "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}",
    eosToken: '',
  },
};
