import { afterEach, describe, expect, it, vi } from 'vitest';
import { createAdminClient, replicaPath } from './admin-client.ts';

afterEach(() => vi.unstubAllGlobals());

const answer = (status: number, text: string) => {
  const fetched = vi.fn(async (_url: string, _init: RequestInit) => new Response(text, { status }));
  vi.stubGlobal('fetch', fetched);
  return fetched;
};
const client = createAdminClient({ url: 'http://127.0.0.1:8081/', key: 'k' });

describe('the admin client', () => {
  it('sends JSON and its key with an action', async () => {
    const fetched = answer(200, '{"ok":true,"message":"done"}');
    await expect(client.restartReplica('org/model/1')).resolves.toEqual({ ok: true, message: 'done' });
    const [url, init] = fetched.mock.calls[0]!;
    expect(url).toBe('http://127.0.0.1:8081/api/v1/replicas/org%2Fmodel/1/restart');
    expect(init.headers).toMatchObject({ 'content-type': 'application/json', authorization: 'Bearer k' });
  });

  it('passes on the code and message of an error', async () => {
    answer(409, '{"error":{"message":"busy","type":"t","param":null,"code":"conflict"}}');
    await expect(client.restartNode()).rejects.toMatchObject({ code: 'conflict', message: 'busy' });
  });

  it('says that nothing is running when the connection is refused', async () => {
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('fetch failed');
    });
    await expect(client.status()).rejects.toMatchObject({
      code: 'not_running',
      message: 'nothing answers at http://127.0.0.1:8081; start it with `autoglm serve`',
    });
  });

  it('recognises a stranger on the port', async () => {
    answer(200, '<html>');
    await expect(client.status()).rejects.toThrow('is not the admin API of autoglm (HTTP 200, no JSON)');
  });

  it('refuses a replica that is not POOL/NUMBER', () => {
    expect(() => replicaPath('demo')).toThrow('found replica "demo"; would be right: POOL/NUMBER');
    expect(replicaPath('demo/0')).toBe('/replicas/demo/0');
  });
});
