/** Errors in Triton's own words and codes, and what they are over HTTP and gRPC (its http_server.cc and grpc_utils.cc). */
import { PlatformError } from '../../contract/errors.ts';

export type TritonCode = 'UNKNOWN' | 'INTERNAL' | 'NOT_FOUND' | 'INVALID_ARG' | 'UNAVAILABLE' | 'UNSUPPORTED';

const HTTP: Readonly<Record<TritonCode, number>> = {
  UNKNOWN: 400,
  INTERNAL: 500,
  NOT_FOUND: 404,
  INVALID_ARG: 400,
  UNAVAILABLE: 503,
  UNSUPPORTED: 501,
};

const GRPC: Readonly<Record<TritonCode, number>> = {
  UNKNOWN: 2,
  INTERNAL: 13,
  NOT_FOUND: 5,
  INVALID_ARG: 3,
  UNAVAILABLE: 14,
  UNSUPPORTED: 12,
};

export class TritonError extends Error {
  readonly code: TritonCode;

  constructor(code: TritonCode, message: string) {
    super(message);
    this.name = 'TritonError';
    this.code = code;
  }

  get httpStatus(): number {
    return HTTP[this.code];
  }

  get grpcCode(): number {
    return GRPC[this.code];
  }

  /** What a core or our own parsers throw, as a backend of Triton would pass it on. */
  static from(thrown: unknown): TritonError {
    if (thrown instanceof TritonError) return thrown;
    const error = PlatformError.from(thrown);
    if (error.code === 'saturated' || error.code === 'engine_full' || error.code === 'shutting_down')
      return new TritonError('UNAVAILABLE', error.message);
    return new TritonError('INTERNAL', `Error generating stream: ${error.message}`);
  }
}
