/** In whose shape the errors of a route, and the headers of its answers, are written. */
export type ErrorDialect = 'openai' | 'anthropic';
