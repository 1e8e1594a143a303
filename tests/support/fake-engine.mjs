/**
 * A process that speaks just enough OpenAI to be supervised. `--port N --model NAME`; misbehaves as FAKE_ENGINE says: words
 * separated by blanks. `exit-at-start=CODE`, `ignore-term`, `deaf-while=FILE` (health answers 503 while FILE exists),
 * `child` (starts a process in a group of its own that would outlive it). POST /exit?code=N ends it with that code,
 * POST /eat takes memory until the kernel ends it.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';

const option = (name) => process.argv[process.argv.indexOf(`--${name}`) + 1];
const manners = (process.env.FAKE_ENGINE ?? '').split(' ');
const manner = (name) =>
  manners.find((word) => word === name || word.startsWith(`${name}=`))?.slice(name.length + 1);

console.log(`fake engine, pid ${process.pid}, port ${option('port')}`);
if (manner('exit-at-start')) process.exit(Number(manner('exit-at-start')));
if (manner('ignore-term') !== undefined) process.on('SIGTERM', () => console.log('SIGTERM ignored'));
if (manner('child') !== undefined)
  spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });

createServer((request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const { pathname, searchParams } = new URL(request.url, 'http://engine');
  if (pathname === '/exit') process.exit(Number(searchParams.get('code')));
  if (pathname === '/eat') for (const eaten = []; ; ) eaten.push(Buffer.alloc(8 << 20, 1));
  const file = manner('deaf-while');
  if (file && existsSync(file)) return answer(503, { error: { message: 'told to be unwell' } });
  if (pathname === '/health') return answer(200, {});
  if (pathname === '/v1/models') return answer(200, { data: [{ id: option('model') }] });
  if (pathname === '/v1/completions') return answer(200, { choices: [{ text: '.' }] });
  return answer(404, { error: { message: 'nothing here' } });
}).listen(Number(option('port')), '127.0.0.1');
