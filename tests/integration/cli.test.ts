/** The commands of `autoglm` as a user runs them: real processes, real output, documented exit codes. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { printable } from '../../src/cli/terminal.ts';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import { parseSseEvents } from '../../src/wire/sse/parse-event.ts';
import { startRecordingProxy } from '../support/recording-proxy.ts';
import { collect, Installation, ROOT, signal, until } from '../support/serve-harness.ts';

const FREE_PORTS = 'gateway: { port: 0 }\nadmin: { port: 0 }\n';
const SIMULATED = `${FREE_PORTS}models:\n  - { model_name: pretend, engine: simulator, replicas: 2 }\n`;
const SAMPLE_POLICY = `monitoring:
  interval: 2s
  metrics: [gpu_memory, cpu_load, request_queue]
recovery:
  strategies:
    oom: { action: restart_process, delay: 1s }
    deadlock: { action: clear_queue_and_reset }
`;
/** The model of an answer that never ends by itself, so that a limit always cuts it. */
const ENDLESS =
  'models:\n  - { model_name: pretend, engine: simulator, replicas: 2, args: [--mean-tokens, "1000000"] }\n';

describe('commands without a running system', () => {
  let installation: Installation;
  beforeAll(() => {
    installation = new Installation('admin: { port: 1 }\n');
  });
  afterAll(() => installation[Symbol.asyncDispose]());

  it('version names release, Node and platform', async () => {
    const { code, stdout } = await installation.cli(['version']);
    for (const option of ['-v', '--version']) {
      expect(await installation.cli([option])).toEqual({ code: 0, stdout, stderr: '' });
    }
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^autoglm \d+\.\d+\.\d+ \(Node 24\.\d+\.\d+, \w+-\w+\)\n$/),
    ]);
    expect(JSON.parse((await installation.cli(['version', '--json'])).stdout)).toHaveProperty('packageRoot');
  });

  it.each([
    [['fooo'], "unknown command 'fooo'"],
    [['status', '--nope'], "unknown option '--nope'"],
    [['drain'], "missing required argument 'replica'"],
    [['restart'], 'found nothing to restart; would be right: one of a replica, a pool, --gateway, --node'],
    [['restart', 'a', '--node'], 'found several things to restart'],
    [['serve', '--port', 'x'], 'would be right: an integer from 0 to 65535'],
    [['status', '--watch', 'x'], 'would be right: seconds from 0.1 to 3600'],
    [['chat', '--url', 'localhost:8080', 'x'], 'which is not an address such as http://127.0.0.1:8080'],
    [['status', '--admin-url', 'foo'], 'which is not an address such as http://127.0.0.1:8080'],
    [['chat', '--max-tokens', '0', 'x'], 'would be right: an integer from 1'],
    [[], 'Usage: autoglm'],
  ])('a wrong command line %j ends with code 2', async (args, message) => {
    const { code, stderr } = await installation.cli(args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });

  it.each([
    [['status']],
    [['drain', 'a/0']],
    [['restart', '--node']],
    [['restart', 'a']],
  ])('%j says that nothing is running, with code 3', async (args) => {
    const { code, stderr } = await installation.cli(args);
    expect([code, stderr]).toEqual([
      3,
      'error: nothing answers at http://127.0.0.1:1; start it with `autoglm serve`\n',
    ]);
  });

  it('with --json also failures are JSON', async () => {
    const { stdout } = await installation.cli(['status', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'not_running' } });
  });

  it('recognises a stranger on the admin port', async () => {
    const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
    await until('the stranger listens', () => server.listening);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stderr } = await installation.cli(['status', '--admin-url', url]);
    server.close();
    expect([code, stderr]).toEqual([
      3,
      expect.stringContaining(`what answers at ${url} is not the admin API`),
    ]);
  });

  it.each([
    ['gatway: {}\n', 'autoglm.yaml:2:1: gatway: this key is not known; did you mean "gateway"?'],
    [
      'gateway: { port: 99999 }\n',
      'autoglm.yaml:2:18: gateway.port: found 99999; would be right: an integer from 0 to 65535',
    ],
    ['gateway: { host: 0.0.0.0 }\n', 'gateway.host: found "0.0.0.0" without keys'],
    [
      'models: [{ model_name: a }, { model_name: a }]\n',
      'models[1].model_name: found "a", which is taken by models[0].model_name',
    ],
    ['models:\n  - model_name: a\n   engine: x\n', 'autoglm.yaml:'],
    ['state: ${NOPE}\n', 'the environment variable NOPE is not set'],
  ])('a configuration with %j is refused by validate and by serve alike, with code 4', async (text, message) => {
    await using broken = new Installation(text);
    for (const command of ['validate', 'serve', 'status']) {
      const { code, stderr } = await broken.cli([command]);
      expect(stderr).toContain(message);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect(code).toBe(4);
    }
    expect(broken.processes()).toEqual([]);
  });

  it('chat recognises a server that is no gateway', async () => {
    const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
    await until('the stranger listens', () => server.listening);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stderr } = await installation.cli(['chat', '--url', url, 'x']);
    server.close();
    expect([code, stderr]).toEqual([
      3,
      `error: what answers at ${url} is not an OpenAI-compatible gateway (HTTP 200); name the right address with --url\n`,
    ]);
  });

  it('validate refuses a model file that the engine would refuse, with its line', async () => {
    await using broken = new Installation('models:\n  - { model_name: a, model: nowhere.gguf }\n');
    const { code, stderr } = await broken.cli(['validate']);
    expect(stderr).toMatch(/autoglm\.yaml:3:29: models\[0\]\.model: .*nowhere\.gguf: found no such file/);
    expect(code).toBe(4);
  });

  it.each([
    [['import', 'litellm', '/nope.yaml'], '/nope.yaml: there is no such file'],
    [['import', 'litellm', '/'], '/: it is a directory, and a file is wanted'],
    [['import', 'litellm', 'l.yaml', '-o', '/nope/x.yaml'], '/nope/x.yaml: its directory does not exist'],
    [['import', 'litellm', 'l.yaml', '--force', '-o', '/'], '/: it is a directory; name a file in it'],
  ])('%j says what is wrong with the file in words, with code 4', async (args, message) => {
    writeFileSync(
      join(installation.dir, 'l.yaml'),
      'model_list:\n  - { model_name: a, litellm_params: { model: openai/a, api_base: "http://127.0.0.1:1/v1" } }\n',
    );
    const { code, stderr } = await installation.cli(args);
    expect([code, stderr]).toEqual([4, expect.stringContaining(message)]);
  });

  it('names a configuration file that does not exist', async () => {
    const { code, stderr } = await installation.cli(['validate', 'nowhere.yaml']);
    expect([code, stderr]).toEqual([
      4,
      expect.stringMatching(/nowhere\.yaml: there is no such file \(named on the command line\)/),
    ]);
  });

  it('validate checks the recovery policy beside the configuration, and prints the ladders that result', async () => {
    await using valid = new Installation(SIMULATED);
    const policy = join(valid.dir, 'auto-recovery.yaml');
    writeFileSync(policy, SAMPLE_POLICY);
    const plain = await valid.cli(['validate']);
    expect(plain.stderr).toBe('');
    expect(plain.stdout).toContain(
      `recovery  ${policy}: looks every 2s at gpu_memory, cpu_load, host_memory, request_queue, progress, `,
    );
    expect(plain.stdout).toMatch(
      /^gpu-out-of-memory +restart_process, restart_safer x 3, quarantine +1s +oom *$/m,
    );
    expect(plain.stdout).toMatch(/^hung +clear_queue_and_reset, restart_process x 3, .*deadlock *$/m);
    expect(plain.stdout).not.toMatch(/^busy /m);
    const whole = await valid.cli(['validate', '--recovery']);
    expect(whole.stdout).toMatch(/^busy +observe +0s +default *$/m);
    const alone = await valid.cli(['validate', 'auto-recovery.yaml']);
    expect(alone.stdout).toMatch(/^valid: .*auto-recovery\.yaml$/m);
    expect(alone.stdout).toMatch(/^unknown +restart_process x 10, safe_shutdown, page +0s +default *$/m);
    for (const args of [['validate'], ['validate', 'auto-recovery.yaml']]) {
      const { stdout } = await valid.cli([...args, '--json']);
      const { recovery } = JSON.parse(stdout);
      expect(recovery).toMatchObject({ file: policy, notes: [], monitoring: { intervalMs: 2000 } });
      expect(recovery.strategies['gpu-out-of-memory']).toMatchObject({ delayMs: 1000, from: 'oom' });
      expect(Object.keys(recovery.strategies)).toHaveLength(36);
    }
  });

  it('validate, serve and status alike refuse a recovery policy with a mistake, with code 4', async () => {
    await using broken = new Installation(SIMULATED);
    writeFileSync(
      join(broken.dir, 'auto-recovery.yaml'),
      'recovery: { strategies: { busy: { action: restart } } }',
    );
    for (const command of ['validate', 'serve', 'status']) {
      const { code, stderr } = await broken.cli([command]);
      expect(stderr).toMatch(
        /auto-recovery\.yaml:1:43: recovery\.strategies\.busy\.action: found restart_process, which makes no sense for busy/,
      );
      expect(code).toBe(4);
    }
    expect(broken.processes()).toEqual([]);
  });

  it('validate prints what would run, and no secret', async () => {
    await using valid = new Installation(
      'gateway: { keys: [{ name: me, key: "${KEY}" }] }\nmodels: [{ model_name: q, engine: vllm, urls: ["http://10.0.0.1:8000"], api_key: sk-canary-2 }]\n',
      { KEY: 'sk-canary-1' },
    );
    const plain = await valid.cli(['validate']);
    expect(plain.stdout).toContain('watches vllm at http://10.0.0.1:8000');
    expect(plain.stdout).toContain(', 1 key)');
    const json = await valid.cli(['validate', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      valid: true,
      models: [{ modelName: 'q', engineKey: '[secret]' }],
    });
    expect(plain.stdout + json.stdout).not.toContain('canary');
  });

  it('doctor names who holds a port, and ends with code 1', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await until('the holder listens', () => server.listening);
    const { port } = server.address() as AddressInfo;
    await using taken = new Installation(`gateway: { port: ${port} }\nadmin: { port: 0 }\n`);
    const { code, stdout } = await taken.cli(['doctor', '--json']);
    server.close();
    const { findings } = JSON.parse(stdout) as { findings: Record<string, string>[] };
    expect(code).toBe(1);
    expect(findings.find(({ check }) => check === 'gateway port')).toMatchObject({
      level: 'fail',
      found: expect.stringContaining(`held by pid ${process.pid}`),
      remedy: expect.stringContaining(`kill ${process.pid}`),
    });
    expect(findings.find(({ check }) => check === 'Node')).toMatchObject({ level: 'ok' });
    expect(findings.find(({ check }) => check === 'embedded engine')).toMatchObject({ level: 'ok' });
  });

  it('doctor fails for a model file that is none, and for a program that is missing', async () => {
    await using broken = new Installation(
      'models:\n  - { model_name: a, model: autoglm.yaml }\n  - { model_name: b, engine: llama-server, model: no.gguf }\n',
    );
    const { code, stdout } = await broken.cli(['doctor']);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /fail {2}model a: .* begins with "stat"; a GGUF file begins with "GGUF"\n +mend: /,
    );
    expect(stdout).toMatch(/fail {2}model b: .*no such file/);
    expect(stdout).toMatch(/llama-server: not found in PATH\n +mend: install it/);
  });
});

describe('the first file that Node reads', () => {
  it('says what it needs and how to get it, where an old Node finds no newer one', () => {
    const source = readFileSync(join(ROOT, 'bin', 'autoglm.mjs'), 'utf8');
    // As an old Node without the checkout's own one would see it: the version is all that is changed.
    const old = source
      .replace('const NODE_MAJOR_MIN = 24;', 'const NODE_MAJOR_MIN = 99;')
      .replace("'node_modules', 'node'", "'nowhere'");
    const result = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        old.replaceAll('import.meta.url', JSON.stringify(`file://${ROOT}/bin/autoglm.mjs`)),
      ],
      { encoding: 'utf8' },
    );
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(
      /^autoglm needs Node 99 or later; this is Node 24\.[^\n]*\nHere `npm ci` brings Node 99; then `npm start` or `npx autoglm` uses it\.\n$/,
    );
  });

  it('needs no syntax that Node 14 does not have', () => {
    const source = readFileSync(join(ROOT, 'bin', 'autoglm.mjs'), 'utf8');
    expect(source).not.toMatch(/\?\?=|\|\|=|\bawait\b|\.at\(|Object\.hasOwn|#\w+\s*[=(;]/);
    expect(existsSync(join(ROOT, 'bin', 'autoglm.mjs'))).toBe(true);
  });
});

describe('commands beside a running system', () => {
  let installation: Installation;
  beforeAll(async () => {
    installation = new Installation(SIMULATED);
    await installation.serve().waitFor(/^ready: 2 replicas/m);
  });
  afterAll(() => installation[Symbol.asyncDispose]());

  it('status shows gateway, pool and replicas as a table and as JSON', async () => {
    const { stdout } = await installation.cli(['status']);
    expect(stdout).toMatch(/^autoglm \S+ {3}gateway http:\/\/127\.0\.0\.1:\d+\/v1/);
    expect(stdout).toMatch(/pretend {3}2\/2 ready {3}queued 0/);
    expect(stdout).toMatch(/^pretend\/1 +simulator +ready/m);
    const status = await installation.status();
    expect(status.pools[0]).toMatchObject({ model: 'pretend', ready: 2, total: 2, queued: 0 });
    expect(status.gateways).toMatchObject([{ state: 'listening' }]);
    expect(status.gatewayAddress).toBe(installation.record().gatewayAddress);
  });

  it('status --watch prints one look after the other until Ctrl-C', async () => {
    const child = spawn(
      process.execPath,
      [join(ROOT, 'bin', 'autoglm.mjs'), 'status', '--watch', '0.1', '--json'],
      {
        env: installation.env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let lines = 0;
    child.stdout.on('data', (chunk) => {
      lines += String(chunk).split('\n').length - 1;
      if (lines >= 3) child.kill('SIGINT');
    });
    const { code, stdout } = await collect(child, 20_000);
    expect(code).toBe(0);
    for (const line of stdout.trim().split('\n'))
      expect((JSON.parse(line) as SystemStatus).pools).toHaveLength(1);
  });

  it.each([
    ['its arguments', ['hello', 'there'], {}],
    ['a pipe', [], { input: 'hello there\n' }],
  ])('chat prints just the answer to a question from %s', async (_from, words, input) => {
    const proxy = await startRecordingProxy(installation.record().gatewayAddress);
    try {
      const { code, stdout, stderr } = await installation.cli(['chat', '--url', proxy.url, ...words], input);
      expect([code, stderr]).toEqual([0, '']);
      const [answer = ''] = proxy.answers('/v1/chat/completions');
      expect(stdout.trimEnd()).toBe(printable(answerText(answer)).trimEnd());
      expect(stdout.endsWith('\n')).toBe(true);
    } finally {
      await proxy.close();
    }
  });

  it('status at the gateway and chat at the admin port say that it is the wrong one', async () => {
    const { gatewayAddress, adminAddress } = installation.record();
    const status = await installation.cli(['status', '--admin-url', gatewayAddress]);
    expect([status.code, status.stderr]).toEqual([
      3,
      expect.stringContaining('is not the admin API of autoglm'),
    ]);
    const chat = await installation.cli(['chat', '--url', adminAddress, 'x']);
    expect([chat.code, chat.stderr]).toEqual([
      3,
      expect.stringContaining('is not an OpenAI-compatible gateway'),
    ]);
  });

  it('chat names the models that exist, and refuses an empty pipe', async () => {
    const unknown = await installation.cli(['chat', '-m', 'gpt', 'x']);
    expect([unknown.code, unknown.stderr]).toEqual([1, 'error: unknown model "gpt"; known: pretend\n']);
    expect((await installation.cli(['chat'], { input: ' \n' })).code).toBe(2);
    const empty = await installation.cli(['chat', '']);
    expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining('found an empty question')]);
  });

  it('a second serve with the same state directory names the first, with code 6', async () => {
    const { code, stderr } = await installation.cli(['serve']);
    expect(stderr).toMatch(
      /autoglm serve runs already with state directory .* \(pid \d+, gateway at http:\/\/127\.0\.0\.1:\d+\)/,
    );
    expect(code).toBe(6);
  });

  it('doctor sees its own system on the ports', async () => {
    const { gatewayAddress, adminAddress } = installation.record();
    await using same = new Installation(
      `gateway: { port: ${new URL(gatewayAddress).port} }\nadmin: { port: ${new URL(adminAddress).port} }\n`,
    );
    // The same ports, but another state directory: then they are a stranger's.
    expect((await same.cli(['doctor'])).stdout).toMatch(/fail {2}admin port: .* is held by pid \d+/);
    installation.writeConfig(
      SIMULATED.replace(
        FREE_PORTS,
        `gateway: { port: ${new URL(gatewayAddress).port} }\nadmin: { port: ${new URL(adminAddress).port} }\n`,
      ),
    );
    expect((await installation.cli(['doctor'])).stdout).toMatch(
      /ok {4}admin port: .* is held by the running autoglm/,
    );
    installation.writeConfig(SIMULATED);
  });

  it('drain stops a replica until restart starts it again', async () => {
    const drained = await installation.cli(['drain', 'pretend/1']);
    expect([drained.code, drained.stderr]).toEqual([0, '']);
    const stateOf = async () => (await installation.statusDirect()).pools[0]?.replicas[1]?.state;
    await until('pretend/1 is stopped', async () => (await stateOf()) === 'stopped');
    const restarted = await installation.cli(['restart', 'pretend/1']);
    expect([restarted.code, restarted.stderr]).toEqual([0, '']);
    await until('pretend/1 is ready', async () => (await stateOf()) === 'ready');
  });

  it('restart names what exists when it does not know the name', async () => {
    const { code, stderr } = await installation.cli(['restart', 'nothing']);
    expect([code, stderr]).toEqual([
      1,
      'error: unknown replica or pool "nothing"; known: pretend, pretend/0, pretend/1\n',
    ]);
    expect((await installation.cli(['drain', 'pretend/7'])).stderr).toContain(
      'unknown replica "pretend/7"; known: pretend/0, pretend/1',
    );
    expect((await installation.cli(['drain', 'pretend'])).code).toBe(2);
  });

  it('restart of the pool gives every replica a new generation', async () => {
    const before = (await installation.statusDirect()).pools[0]!.replicas.map(({ pid }) => pid);
    expect((await installation.cli(['restart', 'pretend'])).code).toBe(0);
    await until(
      'all replicas are new and ready',
      async () => {
        const pool = (await installation.statusDirect()).pools[0]!;
        return pool.ready === 2 && pool.replicas.every(({ pid }) => pid !== null && !before.includes(pid));
      },
      60_000,
    );
  });

  it('the metrics page has the numbers of node and gateway together', async () => {
    const { adminAddress } = installation.record();
    const text = await (await fetch(`${adminAddress}/metrics`)).text();
    expect(text).toContain('autoglm_pool_ready_replicas{model="pretend"} 2');
    expect(text).toMatch(/autoglm_in_flight_requests\{gateway="/);
    const heads = text.split('\n').filter((line) => line.startsWith('# TYPE'));
    expect(new Set(heads).size).toBe(heads.length);
  });
});

describe('serve with options', () => {
  it('takes host, port, model and state directory without a file, and the node process keeps them', async () => {
    await using bare = new Installation(FREE_PORTS);
    const stateDir = join(bare.dir, 'elsewhere');
    bare.writeText(FREE_PORTS);
    const model = join(ROOT, 'models', 'inference-ops-demo.Q8_0.gguf');
    const launched = bare
      .at(stateDir)
      .serve(['--host', '127.0.0.2', '--port', '0', '--model', model, '--state-dir', stateDir]);
    await launched.waitFor(/^ready: 2 replicas/m);
    const { gatewayAddress, pid } = bare.record();
    expect(gatewayAddress).toMatch(/^http:\/\/127\.0\.0\.2:\d+$/);
    const list = (await (await fetch(`${gatewayAddress}/v1/models`)).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toEqual(['inference-ops-demo.Q8_0']);
    signal(pid, 'SIGKILL');
    await until('the next node process answers', async () => {
      const next = bare.record();
      return next.pid !== pid && (await bare.statusDirect()).gatewayAddress === gatewayAddress;
    });
  });

  it('refuses a second place for its state', async () => {
    await using named = new Installation('');
    const { code, stderr } = await named.cli(['serve', '--state-dir', '/tmp/other']);
    expect([code, stderr]).toEqual([4, expect.stringContaining('--state-dir: found /tmp/other, but ')]);
  });
});

describe('keys', () => {
  it('come from options and variables, and a refusal names both', async () => {
    await using keyed = new Installation(
      `gateway: { port: 0, keys: [{ name: a, key: sk-gateway-1 }] }\nadmin: { port: 0, keys: [{ name: b, key: sk-admin-1 }] }\n${ENDLESS}`,
    );
    const launched = keyed.serve();
    await launched.waitFor(/^ready: 2 replicas/m);
    expect(launched.output).toContain('Bearer $AUTOGLM_KEY');
    const { gatewayAddress, adminAddress } = keyed.record();
    await using stranger = new Installation('');
    const chat = ['chat', '--url', gatewayAddress, '--max-tokens', '5', 'hello'];
    const refused = await stranger.cli(chat);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--key or AUTOGLM_KEY')]);
    expect(await stranger.cli([...chat.slice(0, -1), '--key', 'sk-gateway-1', 'hello'])).toMatchObject({
      code: 0,
    });
    const status = ['status', '--admin-url', adminAddress];
    expect((await stranger.cli(status)).stderr).toContain('--admin-key or AUTOGLM_ADMIN_KEY');
    expect((await stranger.cli([...status, '--admin-key', 'sk-admin-1'])).code).toBe(0);
    await using friend = new Installation('', {
      AUTOGLM_KEY: 'sk-gateway-1',
      AUTOGLM_ADMIN_KEY: 'sk-admin-1',
    });
    const cut = await friend.cli(chat);
    expect([cut.code, cut.stderr]).toEqual([0, '(cut at the limit of tokens)\n']);
    expect((await friend.cli(status)).code).toBe(0);
  });
});

describe('ports in use', () => {
  it.each([
    'gateway',
    'admin',
  ])('serve names who holds the %s port, ends with code 5 and leaves nothing', async (section) => {
    const server = createServer().listen(0, '127.0.0.1');
    await until('the holder listens', () => server.listening);
    const { port } = server.address() as AddressInfo;
    const other = section === 'gateway' ? 'admin' : 'gateway';
    await using taken = new Installation(
      `${section}: { port: ${port} }\n${other}: { port: 0 }\n${SIMULATED.slice(FREE_PORTS.length)}`,
    );
    const { code, stderr } = await taken.cli(['serve']);
    server.close();
    expect(stderr).toContain(`${section} port 127.0.0.1:${port} is held by pid ${process.pid}`);
    expect(stderr).toContain(`set another \`${section}.port\``);
    expect(code).toBe(5);
    expect(taken.processes()).toEqual([]);
  });
});

/** The text of a streamed answer. */
function answerText(stream: string): string {
  return parseSseEvents(stream)
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => (JSON.parse(data) as { choices: { delta: { content?: string } }[] }).choices[0])
    .map((choice) => choice?.delta.content ?? '')
    .join('');
}
