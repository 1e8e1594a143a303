/** JSON Schemas as native grammars. Compiled ones are kept, for clients send the same schema again and again. */
import type { Llama, LlamaGrammar } from 'node-llama-cpp';
import { PlatformError } from '../../../contract/errors.ts';
import { type Schema, supportedSchema } from './supported-schema.ts';

const KEPT_MAX = 64;

/** Any JSON object, with at most one space or line break between its parts, so that it can not fill the answer with them. */
const ANY_OBJECT = String.raw`root ::= object
object ::= "{" ws ( pair ( "," ws pair )* )? "}"
pair ::= string ":" ws value
array ::= "[" ws ( value ( "," ws value )* )? "]"
value ::= ( object | array | string | number | "true" | "false" | "null" ) ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" ( ["\\/bfnrt] | "u" [0-9a-fA-F]{4} ) )* "\""
number ::= "-"? ( "0" | [1-9] [0-9]{0,15} ) ( "." [0-9]{1,15} )? ( [eE] [-+]? [0-9]{1,3} )?
ws ::= [ \n]?
`;

export class JsonGrammars {
  readonly #llama: Llama;
  readonly #kept = new Map<string, LlamaGrammar>();

  constructor(llama: Llama) {
    this.#llama = llama;
  }

  /** Throws PlatformError `invalid_request` for a schema that can not become a grammar. */
  async grammarFor(schema: Schema): Promise<LlamaGrammar> {
    const key = JSON.stringify(schema);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    const grammar = await this.#compile(schema);
    this.#kept.set(key, grammar);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > KEPT_MAX && oldest !== undefined) this.#kept.delete(oldest);
    return grammar;
  }

  async #compile(schema: Schema): Promise<LlamaGrammar> {
    try {
      if (Object.keys(schema).length === 0) return await this.#llama.createGrammar({ grammar: ANY_OBJECT });
      const made = await this.#llama.createGrammarForJsonSchema(supportedSchema(schema) as never);
      return await this.#llama.createGrammar({ grammar: withoutTail(made.grammar) });
    } catch (cause) {
      if (cause instanceof PlatformError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new PlatformError(
        'invalid_request',
        `response_format: the JSON Schema can not be followed: ${reason}`,
        {
          param: 'response_format',
          cause,
        },
      );
    }
  }
}

/** The library ends the root rule with line breaks, as a sign for its own chat sessions; clients want the JSON alone. */
export function withoutTail(grammar: string): string {
  return grammar.replace(/^(root ::= .*?) "\\n\\n\\n\\n" \[\\n\]\*$/m, '$1');
}
