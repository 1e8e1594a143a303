/** No proxy at all: the load client asks a mock engine itself. What others add to latency is measured against it. */
import type { TargetKind } from './target.ts';

export const direct: TargetKind = {
  name: 'direct',
  start: async ({ enginePorts }) => ({
    name: 'direct',
    origin: `http://127.0.0.1:${enginePorts[0]}`,
    headers: {},
    child: null,
  }),
};
