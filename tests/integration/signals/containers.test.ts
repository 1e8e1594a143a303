/**
 * The Docker API over a Unix socket. Method: a stand-in that answers as the reference of the API shows (v1.47, `ContainerList` and
 * `ContainerInspect`), with only those fields changed that a case is about.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ContainerSource } from '../../../src/drivers/signals/containers/containers.ts';
import { PretendProc, pretendSubject } from '../../support/pretend-proc.ts';

const ID = 'ba033ac4401106a3b513bc9d639eee123ad78ca3616b921167cd74b20e25ed39';
const OTHER = '8dfafdbc3a40ba033ac4401106a3b513bc9d639eee123ad78ca3616b921167cd';

interface Container {
  id: string;
  labels: Record<string, string>;
  state: Record<string, unknown>;
  restarts: number;
}

let folder: string;
let socketPath: string;
let server: Server;
let containers: Container[];
let lists: number;
let answer: 'well' | 'never' | 'broken';
let nowMs: number;
let proc: PretendProc;
const signal = new AbortController().signal;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'autoglm-docker-'));
  socketPath = join(folder, 'docker.sock');
  proc = new PretendProc();
  containers = [];
  lists = 0;
  nowMs = 0;
  answer = 'well';
  server = createServer((request, response) => {
    if (answer === 'never') return;
    const url = new URL(request.url ?? '', 'http://docker');
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { 'api-version': '1.47', 'content-type': 'application/json' });
      response.end(answer === 'broken' ? '{"message":' : JSON.stringify(body));
    };
    const [, id] = /^\/containers\/([^/]+)\/json$/.exec(url.pathname) ?? [];
    if (url.pathname === '/containers/json') {
      lists++;
      const { label } = JSON.parse(url.searchParams.get('filters') ?? '{}') as { label?: string[] };
      const all = url.searchParams.get('all') === 'true';
      const found = containers.filter(
        ({ labels, state }) =>
          (all || state.Running === true) && (label ?? []).every((name) => name in labels),
      );
      return send(200, found.map(listed));
    }
    const found = containers.find((container) => container.id === id);
    if (found === undefined) return send(404, { message: `No such container: ${id}` });
    send(200, inspected(found));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
});
afterEach(async () => {
  proc[Symbol.dispose]();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

function listed({ id, labels, state }: Container) {
  return {
    Id: id,
    Names: ['/boring_feynman'],
    Image: 'vllm/vllm-openai:latest',
    ImageID: 'sha256:d74508fb6632491cea586a1fd7d748dfc5274cd6fdfedee309ecdcbc2bf5cb82',
    Command: 'vllm serve',
    Created: 1367854155,
    Ports: [{ PrivatePort: 8000, PublicPort: 8000, Type: 'tcp' }],
    Labels: labels,
    State: state.Status,
    Status: 'Exit 0',
    HostConfig: { NetworkMode: 'default' },
    NetworkSettings: { Networks: {} },
    Mounts: [],
  };
}

function inspected({ id, labels, state, restarts }: Container) {
  return {
    Id: id,
    Created: '2026-11-27T00:00:00.1Z',
    Path: 'vllm',
    Args: ['serve'],
    State: {
      Paused: false,
      Restarting: false,
      Dead: false,
      Error: '',
      StartedAt: '2026-11-27T00:00:01Z',
      FinishedAt: '0001-01-01T00:00:00Z',
      ...state,
    },
    Image: 'sha256:72297848456d5d37d1262630108ab308d3e9ec7ed1c3286a32fe09856619a782',
    Name: '/boring_feynman',
    RestartCount: restarts,
    Driver: 'overlay2',
    Config: { Hostname: id.slice(0, 12), Labels: labels },
  };
}

const RUNNING = { Status: 'running', Running: true, OOMKilled: false, Pid: 100, ExitCode: 0 };
const KILLED = { Status: 'exited', Running: false, OOMKilled: true, Pid: 0, ExitCode: 137 };

function open(): ContainerSource {
  return new ContainerSource({ nowMs: () => nowMs, socketPath, root: proc.root });
}

it('finds the container of a replica by its label, running or ended, with why it ended', async () => {
  containers = [{ id: ID, labels: { 'autoglm.replica': 'm/0' }, state: RUNNING, restarts: 0 }];
  const source = open();
  const subject = pretendSubject({ process: null });
  expect(await source.look(subject, signal)).toEqual({
    container: { id: ID, state: 'running', oomKilled: false, exitCode: null, restarts: 0 },
  });
  containers[0]!.state = KILLED;
  containers[0]!.restarts = 2;
  expect(await source.look(subject, signal)).toEqual({
    container: { id: ID, state: 'exited', oomKilled: true, exitCode: 137, restarts: 2 },
  });
  expect(await source.look(pretendSubject({ process: null, replica: 'm/1' }), signal)).toEqual({});
  expect(lists).toBe(1);
});

it('takes the newest of several with one label', async () => {
  const labels = { 'autoglm.replica': 'm/0' };
  containers = [
    { id: OTHER, labels, state: RUNNING, restarts: 0 },
    { id: ID, labels, state: KILLED, restarts: 0 },
  ];
  const { container } = await open().look(pretendSubject({ process: null }), signal);
  expect(container).toMatchObject({ id: OTHER, state: 'running' });
});

it('finds the container in which the process of a replica runs, also when the process has ended', async () => {
  containers = [{ id: ID, labels: {}, state: RUNNING, restarts: 0 }];
  proc.set({ pid: 100, cgroup: `0::/system.slice/docker-${ID}.scope\n` });
  const source = open();
  expect((await source.look(pretendSubject(), signal)).container?.id).toBe(ID);
  containers[0]!.state = KILLED;
  proc.remove(100);
  expect((await source.look(pretendSubject(), signal)).container).toMatchObject({
    oomKilled: true,
    exitCode: 137,
  });
  proc.set({ pid: 100, cgroup: `4:memory:/docker/${ID}\n` });
  expect((await open().look(pretendSubject(), signal)).container?.id).toBe(ID);
  // The one in which we run ourselves is not the engine's.
  mkdirSync(join(proc.root, 'self'));
  writeFileSync(join(proc.root, 'self', 'cgroup'), `4:memory:/docker/${ID}\n`);
  expect(await open().look(pretendSubject(), signal)).toEqual({});
});

it('says that nobody answers, not in time, or nonsense, and throws nothing', async () => {
  const broken = open();
  answer = 'broken';
  expect((await broken.look(pretendSubject(), signal)).unavailable).toEqual([
    expect.stringMatching(/docker\.sock cannot be asked \(its answer is not JSON\)/),
  ]);
  answer = 'never';
  const late = await open().look(pretendSubject(), AbortSignal.timeout(50));
  expect(late.unavailable).toEqual([expect.stringMatching(/does not answer in time/)]);
  const nowhere = new ContainerSource({ nowMs: () => 0, socketPath: join(folder, 'none.sock') });
  expect((await nowhere.look(pretendSubject(), signal)).unavailable).toEqual([
    expect.stringMatching(/none\.sock cannot be asked \(ENOENT\)/),
  ]);
});
