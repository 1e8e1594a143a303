import { afterEach, describe, expect, it, vi } from 'vitest';
import { ADMIN_HEADER } from '../contract/admin-api.ts';
import { createAdminClient, replicaPath } from './admin-client.ts';

afterEach(() => vi.unstubAllGlobals());

const answer = (status: number, text: string, headers: Record<string, string> = { [ADMIN_HEADER]: '1' }) => {
  const fetched = vi.fn(async (_url: string, _init: RequestInit) => new Response(text, { status, headers }));
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
    await expect(client.status()).rejects.toThrow('is not the admin API of autoglm (HTTP 200)');
    answer(404, '{"error":{"message":"there is nothing","code":"not_found"}}', {});
    await expect(client.status()).rejects.toThrow('is not the admin API of autoglm (HTTP 404)');
  });

  it('says where a key comes from', async () => {
    answer(401, '{"error":{"message":"no","type":"t","param":null,"code":"invalid_api_key"}}');
    await expect(client.status()).rejects.toThrow('--admin-key or AUTOGLM_ADMIN_KEY');
  });

  it('refuses a replica that is not POOL/NUMBER', () => {
    expect(() => replicaPath('demo')).toThrow('found replica "demo"; would be right: POOL/NUMBER');
    expect(replicaPath('demo/0')).toBe('/replicas/demo/0');
  });
});
