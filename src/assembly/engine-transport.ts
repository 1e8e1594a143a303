/**
 * The way of requests to engines: HTTP for those that speak OpenAI's dialect, and the translation to KServe before it for
 * others. What only some fleets need, KServe and TLS, is loaded for them alone.
 */
import { systemClock } from '../base/clock.ts';
import type { FleetSnapshot } from '../contract/fleet.ts';
import type { Transport } from '../contract/ports/transport.ts';
import { createHttp1Transport } from '../drivers/http/http1/http1-transport.ts';
import { createLateTransport } from '../drivers/http/late-transport.ts';
import { createTransportByScheme } from '../drivers/http/transport-by-scheme.ts';

export interface EngineTransport extends Transport {
  /** Loads what these replicas are spoken to with, before a request has to wait for it. */
  expect(fleet: FleetSnapshot): void;
}

export function openEngineTransport(): EngineTransport {
  const general = createLateTransport(async () => {
    const { createUndiciTransport } = await import('../drivers/http/undici-transport.ts');
    return createUndiciTransport();
  });
  const http = createTransportByScheme(createHttp1Transport({ clock: systemClock }), general);
  const kserve = createLateTransport(async () => {
    const { createKServeTransport } = await import('../drivers/kserve/kserve-transport.ts');
    return createKServeTransport({ http, clock: systemClock });
  });
  return {
    expect: ({ pools }) => {
      for (const { url, protocol = 'openai' } of pools.flatMap(({ replicas }) => replicas)) {
        if (protocol !== 'openai') kserve.load();
        if (url.startsWith('https:')) general.load();
      }
    },
    send: (request, handler) => (request.kserve === undefined ? http : kserve).send(request, handler),
    forget: (origin) => {
      http.forget(origin);
      kserve.forget(origin);
    },
    close: async () => {
      await kserve.close();
      await http.close();
    },
  };
}
