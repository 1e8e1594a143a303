/** Every path of the gateway: the routes of all APIs. */
import type { ApiRoute } from './api-route.ts';
import { anthropicRoutes } from './apis/anthropic.ts';
import { batchRoutes } from './apis/batches.ts';
import { fileRoutes } from './apis/files.ts';
import { healthRoutes } from './apis/health.ts';
import { modelRoutes } from './apis/models.ts';
import { openAiInferenceRoutes } from './apis/openai-inference.ts';
import { responsesRoutes } from './apis/responses.ts';
import { schedulingRoutes } from './apis/scheduling.ts';

export const ROUTES: readonly ApiRoute[] = [
  ...openAiInferenceRoutes,
  ...anthropicRoutes,
  ...responsesRoutes,
  ...fileRoutes,
  ...batchRoutes,
  ...modelRoutes,
  ...schedulingRoutes,
  ...healthRoutes,
];
