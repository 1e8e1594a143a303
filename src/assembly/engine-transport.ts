/** The way of requests to engines: HTTP for those that speak OpenAI's dialect, and the translation to KServe before it for others. */
import { systemClock } from '../base/clock.ts';
import type { Transport } from '../contract/ports/transport.ts';
import { createHttp1Transport } from '../drivers/http/http1/http1-transport.ts';
import { createTransportByScheme } from '../drivers/http/transport-by-scheme.ts';
import { createUndiciTransport } from '../drivers/http/undici-transport.ts';
import { createKServeTransport } from '../drivers/kserve/kserve-transport.ts';

export function openEngineTransport(): Transport {
  const http = createTransportByScheme(createHttp1Transport({ clock: systemClock }), createUndiciTransport());
  const kserve = createKServeTransport({ http, clock: systemClock });
  return {
    send: kserve.send,
    forget: kserve.forget,
    close: async () => {
      await kserve.close();
      await http.close();
    },
  };
}
