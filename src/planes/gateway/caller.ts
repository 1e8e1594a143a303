/** Whose request it is, and how much its turn weighs: from its key, and from what its headers ask for. */
import type { GatewaySettings, KeySettings } from '../../contract/gateway-snapshot.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { DEFAULT_PRIORITY, PRIORITY_NAMES } from '../../contract/scheduling.ts';
import { servesThisMachineOnly } from './authenticate.ts';

export interface Caller {
  /** Whom the queue is fair to: the name of the key. */
  tenant: string;
  /** Share of served tokens against other tenants, above 0. */
  weight: number;
  /** Place in PRIORITY_NAMES. */
  priority: number;
  /** Names a conversation, so that its requests go to one replica; undefined: the body may say. */
  session: string | undefined;
  /** Answers are to say why they came from where they came. */
  explain: boolean;
}

const PRIORITY_HEADER = 'x-autoglm-priority';
const SESSION_HEADER = 'x-session-id';
/** Asks for an explanation in a request, and is one in an answer. */
export const EXPLAIN_HEADER = 'x-autoglm-explain';
export const MAY_NOT_EXPLAIN = 'this key may not see how requests are shared out (gateway.keys[].explain)';

/** Of somebody who needs no key. */
export const ANYBODY: Caller = {
  tenant: '',
  weight: 1,
  priority: PRIORITY_NAMES.indexOf(DEFAULT_PRIORITY),
  session: undefined,
  explain: false,
};

/** Whether the caller may see how requests are shared out: names and load of replicas. */
export function mayExplain(
  key: KeySettings | null,
  settings: Pick<GatewaySettings, 'keys' | 'host'>,
): boolean {
  return key === null ? servesThisMachineOnly(settings) : key.explain === true;
}

/** @param key null: none was needed. A request may ask for less urgency than its key has, never for more. */
export function callerOf(key: KeySettings | null, headers: HttpExchange['headers']): Caller {
  const own = PRIORITY_NAMES.indexOf(key?.priority ?? DEFAULT_PRIORITY);
  const asked = (PRIORITY_NAMES as readonly (string | undefined)[]).indexOf(headers[PRIORITY_HEADER]);
  return {
    tenant: key?.name ?? '',
    weight: key?.weight ?? 1,
    priority: Math.max(own, asked),
    session: headers[SESSION_HEADER] || undefined,
    explain: headers[EXPLAIN_HEADER] !== undefined,
  };
}
