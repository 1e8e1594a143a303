/** `GET /autoglm/scheduling/{model}`: where a request would go at this moment, and why; for people who look after the service. */
import { PlatformError } from '../../../contract/errors.ts';
import type { ApiRoute } from '../api-route.ts';
import { MAY_NOT_EXPLAIN } from '../caller.ts';
import { respondJson } from '../respond.ts';

export const schedulingRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    template: '/autoglm/scheduling/*',
    policy: 'key',
    handle: ({ admission }, { exchange, record, params }) => {
      if (!record.mayExplain) throw new PlatformError('forbidden', MAY_NOT_EXPLAIN);
      respondJson(exchange, record, 200, admission.explain(params.rest ?? ''));
    },
  },
];
