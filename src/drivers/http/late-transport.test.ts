import { expect, it } from 'vitest';
import type { Transport, UpstreamHandler, UpstreamRequest } from '../../contract/ports/transport.ts';
import { createLateTransport } from './late-transport.ts';

const request = { origin: 'https://e', path: '/x' } as UpstreamRequest;

/** Notes what it is asked to do. */
function noting(): { transport: Transport; log: string[] } {
  const log: string[] = [];
  const transport: Transport = {
    send: ({ path }) => {
      log.push(`send ${path}`);
      return {
        pause: () => log.push('pause'),
        resume: () => log.push('resume'),
        abort: () => log.push('abort'),
      };
    },
    forget: (origin) => void log.push(`forget ${origin}`),
    close: async () => void log.push('close'),
  };
  return { transport, log };
}

const silent: UpstreamHandler = { onHead() {}, onData() {}, onEnd() {}, onError() {} };

it('loads once, at the first request, and sends what waited as it was left', async () => {
  const { transport, log } = noting();
  let loads = 0;
  const opened = Promise.withResolvers<Transport>();
  const late = createLateTransport(() => {
    loads++;
    return opened.promise;
  });
  late.forget('https://e');
  expect(loads).toBe(0);
  late.send(request, silent).pause();
  late.send({ ...request, path: '/given-up' }, silent).abort();
  opened.resolve(transport);
  await opened.promise;
  await late.close();
  late.send({ ...request, path: '/later' }, silent).abort();
  late.forget('https://e');
  expect(loads).toBe(1);
  expect(log).toEqual(['send /x', 'pause', 'close', 'send /later', 'abort', 'forget https://e']);
});

it('reports a request as failed when its code can not be loaded, and closes all the same', async () => {
  const late = createLateTransport(() => Promise.reject(new Error('gone')));
  late.load();
  const failure = new Promise((resolve) => {
    late.send(request, { ...silent, onError: (kind, { message }) => resolve([kind, message]) });
  });
  expect(await failure).toEqual(['connect-refused', 'gone']);
  await late.close();
  await createLateTransport(() => Promise.reject(new Error('never asked'))).close();
});
