/** Commands on a real terminal: what a person types there, what they see, and how it ends. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CTRL_C, CTRL_D, hasPseudoTerminals, PseudoTerminal } from '../support/pseudo-terminal.ts';
import { Installation, until } from '../support/serve-harness.ts';

/** A gateway whose answers say one word and then go on for as long as somebody listens. */
async function startEndlessGateway(): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response: ServerResponse) => {
    if (request.url === '/v1/models') return response.end('{"data":[{"id":"pretend"}]}');
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"choices":[{"delta":{"content":"beginning"}}]}\n\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe.runIf(hasPseudoTerminals)('a conversation', () => {
  let gateway: { server: Server; url: string };
  let installation: Installation;
  const chat = () =>
    new PseudoTerminal(['chat', '--url', gateway.url], { env: installation.env, cwd: installation.dir });
  beforeAll(async () => {
    gateway = await startEndlessGateway();
    installation = new Installation('');
  });
  afterAll(async () => {
    gateway.server.closeAllConnections();
    gateway.server.close();
    await installation[Symbol.asyncDispose]();
  });

  it.each([
    ['/quit', '/quit\r'],
    ['/exit', '/exit\r'],
    ['Ctrl-D', CTRL_D],
    ['Ctrl-C', CTRL_C],
  ])('ends with code 0 and no complaint on %s at the prompt', async (_name, keys) => {
    await using terminal = chat();
    await terminal.waitFor(/you > /);
    terminal.type(keys);
    expect([await terminal.exited, terminal.output]).toEqual([0, expect.not.stringMatching(/error|\bat /i)]);
  });

  it('ends with code 0 on Ctrl-D while an answer is written', async () => {
    await using terminal = chat();
    await terminal.waitFor(/you > /);
    terminal.type('hello\r');
    await terminal.waitFor(/beginning/);
    terminal.type(CTRL_D);
    expect([await terminal.exited, terminal.output]).toEqual([0, expect.not.stringMatching(/error|\bat /i)]);
    expect(terminal.output).toContain('(stopped)');
  });

  it('Ctrl-C stops the answer, and the prompt is there again', async () => {
    await using terminal = chat();
    await terminal.waitFor(/you > /);
    terminal.type('hello\r');
    await terminal.waitFor(/beginning/);
    terminal.type(CTRL_C);
    await terminal.waitFor(/\(stopped\)[\s\S]*you > /);
    terminal.type('/quit\r');
    expect(await terminal.exited).toBe(0);
  });
});

describe.runIf(hasPseudoTerminals)('status --watch', () => {
  it('stays within the terminal, and ends with code 0 on a Ctrl-C that arrives twice', async () => {
    await using installation = new Installation(
      'gateway: { port: 0 }\nadmin: { port: 0 }\nmodels: [{ model_name: pretend, engine: simulator, replicas: 12 }]\n',
    );
    installation.serve();
    await until('the admin API answers', () => installation.statusDirect());
    const terminal = new PseudoTerminal(['status', '--watch', '0.1'], {
      env: installation.env,
      cwd: installation.dir,
      columns: 60,
      rows: 10,
    });
    await using _ = terminal;
    await terminal.waitFor(/lines more[\s\S]*lines more/);
    terminal.type(CTRL_C + CTRL_C);
    expect(await terminal.exited).toBe(0);
    const [, screen = ''] = terminal.output.split('\u001b[H\u001b[J');
    const lines = screen.split('\r\n');
    expect(lines.length).toBeLessThanOrEqual(10);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
  });
});
