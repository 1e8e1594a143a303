import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import type { SystemStatus } from '../../contract/admin-api.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { IncidentReport } from '../../contract/incident-report.ts';
import type { AdminSettings } from '../config/resolve-config.ts';
import { createAdminServer } from './admin-server.ts';
import type { AdminSystem } from './admin-system.ts';
import { mergeMetrics } from './merge-metrics.ts';

const status: SystemStatus = {
  release: '0',
  node: { pid: 1, startedAtMs: 0, adoptedEngines: 0, stateDir: '/s', configPath: null },
  gatewayAddress: 'http://127.0.0.1:1',
  adminAddress: 'http://127.0.0.1:2',
  gateways: [],
  pools: [],
};

function setUp(overrides: Partial<AdminSystem> = {}, keys: AdminSettings['keys'] = []) {
  const done = async () => ({ ok: true, message: 'done' });
  const system: AdminSystem = {
    phase: 'serving',
    canServe: true,
    status: async () => status,
    facts: () => [],
    metrics: async () => '# HELP a b\n# TYPE a gauge\na 1\n',
    drainReplica: done,
    restartReplica: done,
    restartPool: done,
    models: {
      list: () => ({ models: [], notes: [] }),
      load: done,
      unload: done,
      scale: done,
      setAlias: done,
      removeAlias: done,
      setAdapter: done,
      removeAdapter: done,
    },
    suspects: () => [],
    suspect: () => {
      throw new PlatformError('not_found', 'none');
    },
    releaseSuspect: () => ({ ok: true, message: 'done' }),
    incidents: () => [],
    incident: () => {
      throw new PlatformError('not_found', 'none');
    },
    incidentEvidence: async (id) => ({ incident: id, path: null, bundles: [] }),
    restartGateway: done,
    restartNode: () => ({ ok: true, message: 'done' }),
    stop: () => ({ ok: true, message: 'done' }),
    ...overrides,
  };
  const log = vi.fn();
  const server = createAdminServer({ settings: { host: '127.0.0.1', port: 0, keys }, system, log });
  return { app: server.app, log };
}

const ACTIONS = [
  '/api/v1/replicas/demo/0/drain',
  '/api/v1/replicas/demo/0/restart',
  '/api/v1/pools/demo/restart',
  '/api/v1/gateway/restart',
  '/api/v1/node/restart',
  '/api/v1/stop',
  '/api/v1/suspects/0123456789ab/release',
];
const json = { 'content-type': 'application/json' };

describe('the admin server', () => {
  it('answers health, status, facts, metrics and the page', async () => {
    const { app } = setUp();
    for (const url of [
      '/livez',
      '/readyz',
      '/startupz',
      '/health',
      '/health/liveliness',
      '/health/readiness',
    ]) {
      expect((await app.inject({ url })).statusCode).toBe(200);
    }
    expect((await app.inject({ url: '/api/v1/status' })).json()).toEqual(status);
    expect((await app.inject({ url: '/api/v1/facts?limit=5' })).json()).toEqual({ facts: [] });
    expect((await app.inject({ url: '/metrics' })).headers['content-type']).toContain(
      'text/plain; version=0.0.4',
    );
    const page = await app.inject({ url: '/' });
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.body).not.toMatch(/(src|href)=/);
  });

  it('gives incidents as data, their reports as Markdown and text, and errors in the one shape', async () => {
    const report: IncidentReport = {
      ...{ id: 'inc_a', state: 'open', replica: 'm/0', pool: 'm', generation: 1, summary: 'it hangs' },
      diagnosis: { class: 'hung', confidence: 0.9, evidence: [], ruledOut: [] },
      ...{ lastGoodAtMs: null, openedAtMs: 0, isolatedAtMs: null, closedAtMs: null, remedies: [] },
      clients: { attemptsFailed: {}, streamsContinued: {}, gapMaxMs: null, requestsFailed: 0 },
      ...{ timeline: [], evidence: null, drill: null, title: 'hung at m/0, open', todo: ['Nothing yet'] },
      times: { detectMs: null, isolateMs: null, recoverMs: null },
    };
    const { app } = setUp({
      incident: (id) => {
        if (id === 'inc_a') return report;
        throw new PlatformError('not_found', `there is no incident "${id}"`);
      },
    });
    expect((await app.inject({ url: '/api/v1/incidents' })).json()).toEqual({ incidents: [] });
    expect((await app.inject({ url: '/api/v1/incidents/inc_a' })).json()).toEqual(report);
    const markdown = await app.inject({ url: '/api/v1/incidents/inc_a/report.md' });
    expect(markdown.headers['content-type']).toBe('text/markdown; charset=utf-8');
    expect(markdown.body).toContain('# Incident inc_a: hung at m/0, open');
    const text = await app.inject({ url: '/api/v1/incidents/inc_a/report.txt' });
    expect(text.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect((await app.inject({ url: '/api/v1/incidents/inc_a/evidence' })).json()).toMatchObject({
      incident: 'inc_a',
      bundles: [],
    });
    for (const url of ['/api/v1/incidents/..%2F..%2Fetc', '/api/v1/incidents/inc_b/report.md'])
      expect((await app.inject({ url })).json().error.code).toBe('not_found');
    expect((await app.inject({ url: '/api/v1/incidents?limit=201' })).statusCode).toBe(400);
  });

  it.each([
    [{ phase: 'starting' as const }, { '/livez': 200, '/readyz': 503, '/startupz': 503 }],
    [{ phase: 'stopping' as const }, { '/livez': 200, '/readyz': 503, '/startupz': 200 }],
    [{ canServe: false }, { '/livez': 200, '/readyz': 503, '/startupz': 200 }],
  ])('answers not-ready when it is %o', async (overrides, expected) => {
    const { app } = setUp(overrides);
    for (const [url, code] of Object.entries(expected))
      expect((await app.inject({ url })).statusCode).toBe(code);
  });

  it('passes the name of a pool with slashes through, and refuses to act without JSON', async () => {
    const restartReplica = vi.fn(async (id: string) => ({ ok: true, message: id }));
    const { app } = setUp({ restartReplica });
    const url = '/api/v1/replicas/org%2Fmodel/1/restart';
    expect((await app.inject({ method: 'POST', url, headers: json, payload: '{}' })).json().message).toBe(
      'org/model/1',
    );
    expect((await app.inject({ method: 'POST', url })).statusCode).toBe(415);
    expect(
      (await app.inject({ method: 'POST', url, headers: { 'content-type': 'text/plain' }, payload: '{}' }))
        .statusCode,
    ).toBe(415);
    expect(restartReplica).toHaveBeenCalledTimes(1);
  });

  it('hides what was thrown from the caller and shows it to the log', async () => {
    const { app, log } = setUp({
      status: async () => {
        throw new Error('canary in a stack');
      },
      restartGateway: async () => {
        throw new PlatformError('conflict', 'a replacement is running');
      },
    });
    const failed = await app.inject({ url: '/api/v1/status' });
    expect(failed.statusCode).toBe(500);
    expect(failed.body).not.toContain('canary');
    expect(failed.json().error).toMatchObject({ type: 'server_error', param: null, code: 'internal' });
    expect(JSON.stringify(log.mock.calls)).toContain('canary');
    const refused = await app.inject({
      method: 'POST',
      url: '/api/v1/gateway/restart',
      headers: json,
      payload: '{}',
    });
    expect([refused.statusCode, refused.json().error.message]).toEqual([409, 'a replacement is running']);
  });

  it.each([
    ['/nothing', 404],
    ['/api/v1/facts?limit=0', 400],
    ['/api/v1/facts?limit=1&limit=2', 400],
    ['/api/v1/facts?limit=x', 400],
  ])('answers %s with %i in the one error shape', async (url, code) => {
    const answer = await setUp().app.inject({ url });
    expect(answer.statusCode).toBe(code);
    expect(Object.keys(answer.json().error).sort()).toEqual(['code', 'message', 'param', 'type']);
  });

  it.each([
    ['{'],
    ['[]'],
    ['"x"'],
    ['{"immediate":"yes"}'],
    ['{"__proto__":{"immediate":true}}'],
  ])('refuses to stop for the body %s', async (payload) => {
    const stop = vi.fn(() => ({ ok: true, message: '' }));
    const answer = await setUp({ stop }).app.inject({
      method: 'POST',
      url: '/api/v1/stop',
      headers: json,
      payload,
    });
    expect(answer.statusCode).toBe(400);
    expect(stop).not.toHaveBeenCalled();
  });

  it('refuses to be built with a route that states no policy', async () => {
    const { app } = setUp();
    expect(() => app.get('/new', async () => 'x')).toThrow('states no policy');
  });
});

describe('the guard', () => {
  it.each([
    'evil.example',
    'evil.example:8081',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    '[::2]:1',
  ])('refuses Host "%s" everywhere: it may be a rebinding attack', async (host) => {
    const { app } = setUp();
    for (const url of ['/', '/api/v1/status', '/livez', '/nothing']) {
      expect((await app.inject({ url, headers: { host } })).statusCode).toBe(403);
    }
  });

  it.each([
    'localhost',
    'localhost:8081',
    '127.0.0.1:1',
    '[::1]:1',
    'LOCALHOST',
  ])('accepts Host "%s"', async (host) => {
    expect((await setUp().app.inject({ url: '/api/v1/status', headers: { host } })).statusCode).toBe(200);
  });

  it.each(ACTIONS)('refuses POST %s from another site', async (url) => {
    const { app } = setUp();
    const host = '127.0.0.1:8081';
    const send = (headers: Record<string, string>) =>
      app.inject({ method: 'POST', url, headers: { host, ...json, ...headers }, payload: '{}' });
    expect((await send({ origin: 'https://evil.example' })).statusCode).toBe(403);
    expect((await send({ origin: 'null' })).statusCode).toBe(403);
    expect((await send({ origin: 'http://127.0.0.1:9999' })).statusCode).toBe(403);
    expect((await send({ 'sec-fetch-site': 'cross-site' })).statusCode).toBe(403);
    expect((await send({ origin: `http://${host}` })).statusCode).toBe(200);
    expect((await send({})).statusCode).toBe(200);
  });

  it('wants a key for everything but health and the page, where keys are set', async () => {
    const sha256 = createHash('sha256').update('right-key').digest('hex');
    const { app } = setUp({}, [{ name: 'ops', sha256 }]);
    const get = async (url: string, authorization?: string) =>
      (
        await app.inject({
          url,
          headers: { host: 'any.example', ...(authorization ? { authorization } : {}) },
        })
      ).statusCode;
    for (const url of ['/', '/livez', '/readyz', '/startupz', '/health']) expect(await get(url)).toBe(200);
    for (const url of ['/api/v1/status', '/api/v1/facts', '/metrics', '/nothing']) {
      expect(await get(url)).toBe(401);
      expect(await get(url, 'Bearer wrong-key')).toBe(401);
      expect(await get(url, 'right-key')).toBe(401);
    }
    expect(await get('/api/v1/status', 'Bearer right-key')).toBe(200);
    for (const url of ACTIONS) {
      expect((await app.inject({ method: 'POST', url, headers: json, payload: '{}' })).statusCode).toBe(401);
    }
  });
});

it('joins the metrics of several gateways family by family', () => {
  const one =
    '# HELP a x\n# TYPE a counter\na{gateway="1"} 1\n# HELP b y\n# TYPE b gauge\nb{gateway="1"} 2\n';
  const two = '# HELP a x\n# TYPE a counter\na{gateway="2"} 3\n';
  expect(mergeMetrics([one, two])).toBe(
    '# HELP a x\n# TYPE a counter\na{gateway="1"} 1\na{gateway="2"} 3\n# HELP b y\n# TYPE b gauge\nb{gateway="1"} 2\n',
  );
  expect(mergeMetrics([])).toBe('');
});
