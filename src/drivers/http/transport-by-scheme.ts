/** The transport of a gateway: plain HTTP on connections of our own, everything else (TLS) over the general client. */
import type { Transport } from '../../contract/ports/transport.ts';

export function createTransportByScheme(plain: Transport, other: Transport): Transport {
  const of = (origin: string): Transport => (origin.startsWith('http:') ? plain : other);
  return {
    send: (request, handler) => of(request.origin).send(request, handler),
    forget: (origin) => of(origin).forget(origin),
    close: async () => {
      await Promise.all([plain.close(), other.close()]);
    },
  };
}
