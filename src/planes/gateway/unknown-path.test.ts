import { describe, expect, it } from 'vitest';
import { RouteTable } from './match-route.ts';
import { ROUTES } from './routes.ts';
import { unknownPath } from './unknown-path.ts';

const routes = new RouteTable(ROUTES);
const told = (method: string, path: string) => unknownPath(method, path, routes).message;

describe('a path that does not exist', () => {
  it.each([
    ['POST', '/chat/completions', '/v1/chat/completions'],
    ['POST', '/v1/v1/chat/completions', '/v1/chat/completions'],
    ['POST', '/v1/v1/messages', '/v1/messages'],
    ['GET', '/models', '/v1/models'],
    ['GET', '/v1/models/', '/v1/models'],
    ['GET', '/batches/b1', '/v1/batches/b1'],
  ])('%s %s is answered with what was meant', (method, path, meant) => {
    expect(told(method, path)).toBe(
      `there is nothing at ${method} ${path}; did you mean ${meant}? Clients of OpenAI want a base URL that ends in /v1, clients of Anthropic one that does not`,
    );
  });

  it.each(['/metrics', '/status', '/api/v1/status'])('%s is told where the admin API is', (path) => {
    expect(told('GET', path)).toContain('on the admin port');
  });

  it.each([
    ['GET', '/nope'],
    ['GET', '/chat/completions'],
    ['POST', '/v1/nope'],
  ])('%s %s is nothing that we know', (method, path) => {
    expect(told(method, path)).toBe(`there is nothing at ${method} ${path}`);
  });
});
