/** `batching` of a model, as `autoglm.yaml` writes it. */
import { z } from 'zod';
import { BATCHING_ENDPOINTS } from './fleet.ts';

export const batchingSchema = z
  .strictObject({
    max_batch_size: z
      .number()
      .int()
      .min(2)
      .max(2048)
      .default(64)
      .describe(
        'Inputs (texts, documents, pairs) that one call to an engine carries at most. 16 suits development.',
      ),
    max_wait_ms: z
      .number()
      .min(0)
      .max(1000)
      .default(5)
      .describe(
        'Longest wait for company, ms. Only what comes while a call of its kind is under way waits, and never beyond the end of that call.',
      ),
    endpoints: z
      .array(z.enum(BATCHING_ENDPOINTS))
      .min(1)
      .default([...BATCHING_ENDPOINTS])
      .describe(
        'Whose requests are sent together. Leave out rerank and score for models that judge documents by their company.',
      ),
  })
  .optional()
  .describe(
    'Small requests of one key with the same parameters are sent to the engine as one call, and each client gets its own part (docs/batching.md). `{}` turns it on with the defaults. Default: off.',
  );
