/**
 * Every process may be killed alone, and stopping leaves nothing. Goal: the table of docs/lifecycle.md. Method: real `serve`
 * processes on free ports with simulated engines, real signals, and the process table as witness.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { machinePace } from '../support/machine-pace.ts';
import { Installation, isAlive, signal, until } from '../support/serve-harness.ts';

const FREE_PORTS = 'gateway: { port: 0 }\nadmin: { port: 0 }\n';
const SIMULATED = `${FREE_PORTS}timeouts: { drain_ms: 5000 }\nmodels:\n  - { model_name: pretend, engine: simulator, replicas: 2 }\n`;

const installations: Installation[] = [];
afterEach(async () => {
  for (const installation of installations.splice(0)) await installation[Symbol.asyncDispose]();
});

function install(config = SIMULATED): Installation {
  const installation = new Installation(config);
  installations.push(installation);
  return installation;
}

/** Run before the program: it then takes this Node for one that is too old, and starts itself with another. */
const PRETEND_OLD_NODE = encodeURIComponent(
  "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.0.0' } })",
);

function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

async function startReady(installation: Installation) {
  const launched = installation.serve();
  await launched.waitFor(/^ready: 2 replicas/m);
  return launched;
}

async function ask(
  installation: Installation,
  extra: Record<string, unknown> = {},
  signalOf?: AbortSignal,
): Promise<Response> {
  return fetch(`${installation.record().gatewayAddress}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'pretend',
      messages: [{ role: 'user', content: 'hello' }],
      max_tokens: 20,
      ...extra,
    }),
    signal: signalOf ?? AbortSignal.timeout(20_000),
  });
}

describe('starting', () => {
  it('prints address, curl line, progress and the time, and the curl line works as it is', async () => {
    const installation = install();
    const launched = await startReady(installation);
    const { gatewayAddress, adminAddress } = installation.record();
    expect(launched.output).toContain(`${gatewayAddress}/v1`);
    expect(launched.output).toContain(`${adminAddress}/`);
    expect(launched.output).toMatch(/replica pretend\/0 ready after \d\.\d s/);
    expect(launched.output).toMatch(/^ready: 2 replicas, \d\.\d s from start; Ctrl-C drains and stops$/m);
    const curl = launched.output.split('\n').find((line) => line.startsWith('curl '));
    const { spawnSync } = await import('node:child_process');
    const answer = spawnSync('bash', ['-c', curl!], { encoding: 'utf8', timeout: 20_000 });
    expect(JSON.parse(answer.stdout)).toHaveProperty('choices');
    expect((await fetch(`${adminAddress}/readyz`)).status).toBe(200);
  });

  it('keeps a crash loop from eating the machine, and says why in status', async () => {
    const installation = install(
      `${FREE_PORTS}supervisor: { restarts_max: 2, backoff_initial_ms: 50, backoff_max_ms: 100 }\nmodels:\n  - { model_name: broken, engine: openai, command: [sh, -c, "echo cannot start on {port}; exit 3"] }\n`,
    );
    const launched = installation.serve();
    await launched.waitFor(/replica broken\/0 quarantined: /);
    const replica = (await installation.status()).pools[0]!.replicas[0]!;
    expect(replica.state).toBe('quarantined');
    expect(replica.reason).toMatch(/3/);
    expect(replica.lastIncident?.summary).toMatch(/code 3/);
    const table = await installation.cli(['status']);
    expect(table.stdout).toMatch(/broken\/0 +openai +quarantined/);
    const refused = await ask(installation, { model: 'broken' });
    expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([
      503,
      'no_replica',
    ]);
  });
});

describe('secrets and state', () => {
  it('keeps keys out of everything that is printed, logged, answered or inherited', async () => {
    const installation = new Installation(
      `gateway: { port: 0, queue_timeout_ms: 500, keys: [{ name: me, key: "\${GATEWAY_KEY}" }] }\nadmin: { port: 0, keys: [{ name: ops, key: canary-admin-1 }] }\nmodels:\n  - { model_name: pretend, engine: simulator, replicas: 2 }\n  - { model_name: far, engine: openai, urls: ["http://127.0.0.1:9"], api_key: canary-engine-1 }\n`,
      { GATEWAY_KEY: 'canary-gateway-1', AUTOGLM_API_KEYS: 'canary-environment-1' },
    );
    installations.push(installation);
    const launched = installation.serve();
    await launched.waitFor(/replica pretend\/1 ready/);
    const { gatewayAddress, adminAddress } = await until('the record is written', () => {
      const record = installation.record();
      return record.adminAddress !== null && record;
    });
    const answers: string[] = [];
    const get = async (url: string, init: RequestInit = {}) => {
      const response = await fetch(url, init);
      answers.push(`${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`);
      return response.status;
    };
    const bearer = (key: string) => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' });
    const chat = (model: string, key: string) =>
      get(`${gatewayAddress}/v1/chat/completions`, {
        method: 'POST',
        headers: bearer(key),
        body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 3 }),
      });
    expect(await chat('pretend', 'canary-gateway-1')).toBe(200);
    expect(await chat('pretend', 'canary-environment-1')).toBe(200);
    expect(await chat('pretend', 'canary-wrong-1')).toBe(401);
    expect(await chat('far', 'canary-gateway-1')).toBe(503);
    expect(await get(`${adminAddress}/api/v1/status`)).toBe(401);
    expect(await get(`${adminAddress}/api/v1/status`, { headers: bearer('canary-wrong-1') })).toBe(401);
    for (const path of ['/api/v1/status', '/api/v1/facts', '/metrics', '/', '/nothing']) {
      await get(`${adminAddress}${path}`, { headers: bearer('canary-admin-1') });
    }
    // The CLI reads the key from the same file.
    for (const command of ['status', 'validate', 'doctor']) {
      const { stdout, stderr } = await installation.cli([command, '--json']);
      answers.push(stdout, stderr);
    }
    expect((await installation.cli(['status'])).code).toBe(0);
    for (const { pid, owner } of installation.processes()) {
      answers.push(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
      // The node process is the one that reads the environment.
      if (!owner.endsWith(':node')) answers.push(readFileSync(`/proc/${pid}/environ`, 'latin1'));
    }
    launched.child.kill('SIGTERM');
    await launched.exited;
    const files = readdirSync(installation.stateDir, {
      recursive: true,
      withFileTypes: true,
      encoding: 'utf8',
    });
    for (const file of files.filter((entry) => entry.isFile())) {
      const path = join(file.parentPath, file.name);
      // A port is no secret.
      if (!file.name.endsWith('.port')) expect(statSync(path).mode & 0o077, path).toBe(0);
      // Gateways need the keys of external engines; their file is for the owner only.
      if (file.name !== 'gateway-snapshot.json') answers.push(readFileSync(path, 'utf8'));
    }
    expect(`${launched.output}${answers.join('\n')}`).not.toContain('canary');
  });

  it('works below a directory whose path is too long for a Unix socket', async () => {
    const installation = install();
    installation.writeConfig(SIMULATED);
    const deep = join(installation.dir, 'd'.repeat(120));
    const text = readFileSync(installation.configFile, 'utf8');
    writeFileSync(installation.configFile, text.replace(/^state_dir: .*$/m, `state_dir: ${deep}`));
    const moved = installation.at(deep);
    const launched = moved.serve();
    await launched.waitFor(/^ready: 2 replicas/m);
    launched.child.kill('SIGTERM');
    expect(await launched.exited).toBe(0);
    expect(moved.processes()).toEqual([]);
  });

  it('says what to do about a state directory that cannot be made', async () => {
    const installation = install();
    const file = join(installation.dir, 'a-file');
    writeFileSync(file, '');
    writeFileSync(installation.configFile, `state_dir: ${file}/state\n`);
    const { code, stderr } = await installation.cli(['serve']);
    expect([code, stderr]).toEqual([
      4,
      expect.stringMatching(/state directory .*a-file\/state cannot be used: .*AUTOGLM_STATE_DIR/),
    ]);
  });
});

describe('stopping', () => {
  it('drains on the first Ctrl-C: a running answer comes to its end, and no process is left', async () => {
    const installation = install();
    const launched = await startReady(installation);
    const stream = await ask(installation, { stream: true, max_tokens: 100, min_tokens: 100 });
    launched.child.kill('SIGINT');
    const text = await stream.text();
    expect(text.trimEnd()).toMatch(/data: \[DONE\]$/);
    expect(await launched.exited).toBe(0);
    expect(launched.output).toMatch(/stopped after \d+\.\d s/);
    expect(installation.processes()).toEqual([]);
  });

  it.each(['SIGTERM', 'SIGHUP'] as const)('does the same on %s', async (name) => {
    const installation = install();
    const launched = await startReady(installation);
    launched.child.kill(name);
    expect(await launched.exited).toBe(0);
    expect(installation.processes()).toEqual([]);
  });

  it('does not wait for requests that wait for an engine which is not there', async () => {
    const installation = install(
      `${SIMULATED}  - { model_name: away, engine: openai, urls: ["http://127.0.0.1:1"] }\n`,
    );
    const launched = installation.serve();
    await launched.waitFor(/replica pretend\/1 ready/);
    const waiting = ask(installation, { model: 'away' });
    await until(
      'the request waits',
      async () => (await installation.statusDirect()).gateways[0]?.queued === 1,
    );
    launched.child.kill('SIGTERM');
    const response = await waiting;
    expect([response.status, await response.json()]).toEqual([
      503,
      { error: expect.objectContaining({ code: 'shutting_down' }) },
    ]);
    expect(await launched.exited).toBe(0);
  });

  it('takes the doubled signal of npm for one', async () => {
    const installation = install();
    const launched = await startReady(installation);
    launched.child.kill('SIGINT');
    launched.child.kill('SIGINT');
    expect(await launched.exited).toBe(0);
  });

  it('stops at once on the second Ctrl-C', async () => {
    const installation = install();
    const launched = await startReady(installation);
    const stream = await ask(installation, { stream: true, max_tokens: 4000, min_tokens: 4000 });
    const reading = stream.text().catch(() => 'cut');
    launched.child.kill('SIGINT');
    await launched.waitFor(/draining/);
    await new Promise((wake) => setTimeout(wake, 300));
    const beganMs = performance.now();
    launched.child.kill('SIGINT');
    expect(await launched.exited).toBe(130);
    const tookMs = performance.now() - beganMs;
    expect(tookMs).toBeLessThan(2_000 * machinePace());
    await reading;
    expect(installation.processes()).toEqual([]);
  });

  it('answers not-ready while it drains', async () => {
    const installation = install();
    const launched = await startReady(installation);
    const { adminAddress } = installation.record();
    const stream = await ask(installation, { stream: true, max_tokens: 150, min_tokens: 150 });
    launched.child.kill('SIGTERM');
    await until('readyz is 503', async () => (await fetch(`${adminAddress}/readyz`)).status === 503);
    await stream.text();
    expect(await launched.exited).toBe(0);
  });
});

describe('the node process', () => {
  it('comes back after SIGKILL and adopts gateway and engines with the same pids, without a failed request', async () => {
    const installation = install();
    await startReady(installation);
    const pids = installation.workerPids();
    expect(pids).toHaveLength(3);
    const failures: string[] = [];
    let answered = 0;
    const stop = new AbortController();
    const clients = Array.from({ length: 4 }, async () => {
      while (!stop.signal.aborted) {
        const outcome = await ask(installation).then(async (response) => {
          const body = await response.text();
          return response.status === 200 ? null : `${response.status} ${body}`;
        }, String);
        if (outcome === null) answered++;
        else failures.push(outcome);
      }
    });
    const { pid } = installation.record();
    await until('requests are answered', () => answered >= 8);
    const before = answered;
    signal(pid, 'SIGKILL');
    await until('a new node process serves', async () => {
      const status = await installation.statusDirect();
      return (
        status.node.pid !== pid && status.pools[0]?.ready === 2 && status.gateways[0]?.state === 'listening'
      );
    });
    await until('requests go on', () => answered >= before + 8);
    stop.abort();
    await Promise.all(clients);
    expect(failures).toEqual([]);
    expect(installation.workerPids()).toEqual(pids);
    expect((await installation.status()).node.adoptedEngines).toBe(2);
    // It supervises what it adopted.
    const victim = (await installation.status()).pools[0]!.replicas[0]!;
    signal(victim.pid!, 'SIGKILL');
    await until('the killed engine is back', async () => {
      const replica = (await installation.statusDirect()).pools[0]!.replicas[0]!;
      return replica.state === 'ready' && replica.pid !== victim.pid && replica.restarts === 1;
    });
  });

  it('is replaced on command, and what it supervised stays', async () => {
    const installation = install();
    await startReady(installation);
    const pids = installation.workerPids();
    const { pid } = installation.record();
    const { code, stdout } = await installation.cli(['restart', '--node']);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`node process ${pid} ends`)]);
    await until(
      'a new node process serves',
      async () => (await installation.statusDirect()).node.pid !== pid,
    );
    expect(installation.workerPids()).toEqual(pids);
  });

  it('takes over a changed configuration when it is replaced, and keeps what has not changed', async () => {
    const installation = install();
    await startReady(installation);
    const before = await installation.statusDirect();
    const gatewayPort = Number(new URL(before.gatewayAddress).port);
    installation.writeConfig(SIMULATED.replace('replicas: 2', 'replicas: 3, aliases: [also]'));
    expect((await installation.cli(['restart', '--node'])).code).toBe(0);
    const after = await until('three replicas are ready', async () => {
      const status = await installation.statusDirect();
      return status.pools[0]?.ready === 3 && status.gateways[0]?.state === 'listening' && status;
    });
    expect(after.pools[0]!.replicas.slice(0, 2).map(({ pid }) => pid)).toEqual(
      before.pools[0]!.replicas.map(({ pid }) => pid),
    );
    expect(Number(new URL(after.gatewayAddress).port)).toBe(gatewayPort);
    expect((await ask(installation, { model: 'also' })).status).toBe(200);
  });

  it('is not replaced while the new configuration is invalid', async () => {
    const installation = install();
    await startReady(installation);
    const { pid } = installation.record();
    installation.writeConfig(SIMULATED.replace('replicas: 2', 'replicas: 0'));
    const { adminAddress } = installation.record();
    const refused = await fetch(`${adminAddress}/api/v1/node/restart`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(refused.status).toBe(400);
    expect(((await refused.json()) as { error: { message: string } }).error.message).toContain(
      'models[0].replicas: found 0; would be right: an integer from 1 to 64',
    );
    expect(installation.record().pid).toBe(pid);
    expect(isAlive(pid)).toBe(true);
  });

  it('moves the gateway when its address has changed', async () => {
    const installation = install();
    await startReady(installation);
    const probe = createServer().listen(0, '127.0.0.1');
    await until('the probe listens', () => probe.listening);
    const { port } = probe.address() as AddressInfo;
    await new Promise((closed) => probe.close(closed));
    installation.writeConfig(SIMULATED.replace('gateway: { port: 0 }', `gateway: { port: ${port} }`));
    expect((await installation.cli(['restart', '--node'])).code).toBe(0);
    await until('the gateway answers at its new port', async () => {
      const { gatewayAddress } = await installation.statusDirect();
      return gatewayAddress.endsWith(`:${port}`) && (await ask(installation)).status === 200;
    });
  });

  it('writes its own log as JSON lines', async () => {
    const installation = install();
    await startReady(installation);
    const lines = readFileSync(join(installation.stateDir, 'logs', 'node.log'), 'utf8')
      .trim()
      .split('\n');
    const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(entries.map(({ message }) => message)).toContain('node process serves');
    for (const entry of entries) expect(entry).toHaveProperty('@timestamp');
  });
});

describe('the launcher', () => {
  it('may be killed: the next serve becomes the launcher of the running node process', async () => {
    const installation = install();
    const first = await startReady(installation);
    first.child.kill('SIGKILL');
    await first.exited;
    const { pid } = installation.record();
    expect(isAlive(pid)).toBe(true);
    expect((await ask(installation)).status).toBe(200);
    const second = installation.serve();
    await second.waitFor(new RegExp(`a node process runs already \\(pid ${pid}`));
    expect(installation.record().pid).toBe(pid);
    // It brings it back as the first one did.
    signal(pid, 'SIGKILL');
    await until(
      'a new node process serves',
      async () => (await installation.statusDirect()).node.pid !== pid,
    );
    second.child.kill('SIGTERM');
    expect(await second.exited).toBe(0);
    expect(installation.processes()).toEqual([]);
  });

  it('may be killed also where an old Node started it with another one: the next serve adopts all the same', async () => {
    const installation = install();
    const first = installation.serve([], [`--import=data:text/javascript,${PRETEND_OLD_NODE}`]);
    await first.waitFor(/^ready: 2 replicas/m);
    const { pid } = installation.record();
    const launcher = parentOf(pid);
    expect(launcher).not.toBe(first.child.pid);
    first.child.kill('SIGKILL');
    await first.exited;
    await until('the launcher behind it is gone, too', () => !isAlive(launcher));
    expect(isAlive(pid)).toBe(true);
    const second = installation.serve();
    await second.waitFor(new RegExp(`a node process runs already \\(pid ${pid}`));
    second.child.kill('SIGTERM');
    expect(await second.exited).toBe(0);
    expect(installation.processes()).toEqual([]);
  });

  it('and the node process may both be killed: all serves on, and the next serve adopts it', async () => {
    const installation = install();
    const first = await startReady(installation);
    const pids = installation.workerPids();
    first.child.kill('SIGKILL');
    signal(installation.record().pid, 'SIGKILL');
    await first.exited;
    expect((await ask(installation)).status).toBe(200);
    const second = installation.serve();
    await second.waitFor(/^ready: 2 replicas/m);
    expect(second.output).toContain('2 running engines adopted');
    expect(installation.workerPids()).toEqual(pids);
    second.child.kill('SIGTERM');
    expect(await second.exited).toBe(0);
    expect(installation.processes()).toEqual([]);
  });

  it('stops gateways and engines itself when the node process cannot', async () => {
    const installation = install();
    const launched = await startReady(installation);
    const { pid } = installation.record();
    // A node process that is stopped takes no signal but SIGKILL; killed during the stop it cannot end what it began.
    signal(pid, 'SIGSTOP');
    launched.child.kill('SIGTERM');
    await launched.waitFor(/draining/);
    signal(pid, 'SIGKILL');
    expect(await launched.exited).toBe(0);
    expect(launched.output).toContain('stopping gateways and engines');
    expect(installation.processes()).toEqual([]);
  });
});

describe('the gateway', () => {
  it('is back within a second after SIGKILL', async () => {
    const installation = install();
    await startReady(installation);
    const [gateway] = (await installation.statusDirect()).gateways;
    const beganMs = performance.now();
    signal(gateway!.pid, 'SIGKILL');
    await until(
      'it answers again',
      async () => isAlive(gateway!.pid) === false && (await ask(installation)).status === 200,
    );
    const tookMs = performance.now() - beganMs;
    expect(tookMs).toBeLessThan(2_000 * machinePace());
  });

  it('is replaced on command, on the same port', async () => {
    const installation = install();
    await startReady(installation);
    const before = await installation.statusDirect();
    const { code, stdout, stderr } = await installation.cli(['restart', '--gateway']);
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringContaining('a new gateway serves')]);
    await until('only the new one is left', async () => {
      const { gateways, gatewayAddress } = await installation.statusDirect();
      return (
        gateways.length === 1 &&
        gateways[0]!.pid !== before.gateways[0]!.pid &&
        gatewayAddress === before.gatewayAddress
      );
    });
    expect((await ask(installation)).status).toBe(200);
  });
});
