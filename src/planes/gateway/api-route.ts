/**
 * What every path of the gateway is: a method, a template, a policy, and what answers it. A route without a policy does not
 * compile, and a path that no API lists does not exist. One file per API stands in `apis/`.
 */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { ErrorDialect } from './error-dialect.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { RequestRecord } from './request-record.ts';
import type { ResponseRuns } from './responses/response-runs.ts';

export type RoutePolicy =
  /** Anybody: says nothing but whether the process is well. */
  | 'public'
  /** A key, where keys are configured. */
  | 'key';

/** The plane as APIs see it. */
export interface ApiContext extends GatewayContext {
  /** The process is being replaced or stopped. */
  readonly draining: boolean;
  /** Responses that run without a client. */
  readonly background: ResponseRuns;
  /** Has a background response stopped wherever in this process it runs. */
  cancelBackground(id: string): void;
}

/** One request on its way to the API that answers it. */
export interface ApiCall {
  readonly exchange: HttpExchange;
  readonly record: RequestRecord;
  /** Values of `{name}` in the template, percent-decoded, and of a trailing `*` under the name `rest`. */
  readonly params: Readonly<Record<string, string>>;
}

/** Whose responses, files, batches and idempotency keys a call may see: those of its key. */
export function ownerOf({ record }: ApiCall): string {
  return record.keyName ?? '';
}

export interface ApiRoute {
  method: 'GET' | 'POST' | 'DELETE';
  /** `/v1/things/{id}/parts`; a segment `{name}` takes one segment, a trailing `*` takes the rest, slashes included. */
  template: string;
  policy: RoutePolicy;
  /** Default `openai`. */
  errors?: ErrorDialect;
  /** Honours `Idempotency-Key`: a repeated request is given the first one's answer. Default false. */
  idempotent?: boolean;
  /** Answers, or throws a PlatformError before anything was sent. The plane settles the record when it is done. */
  handle(gateway: ApiContext, call: ApiCall): void | Promise<void>;
}
