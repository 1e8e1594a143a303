/** Limits as `autoglm.yaml` writes them: of a model, of a key, and of a key on one model. */
import { z } from 'zod';

const perMinute = (most: number, text: string) => z.number().int().min(1).max(most).optional().describe(text);

const amounts = {
  requests_per_minute: perMinute(1_000_000_000, 'Requests in a minute. Default: no limit.'),
  tokens_per_minute: perMinute(
    10_000_000_000,
    'Tokens of prompts and answers in a minute. A request reserves its prompt and the longest answer that it allows, and gives back what it does not use. Default: no limit.',
  ),
  parallel_requests: perMinute(1_000_000, 'Requests under way at once. Default: no limit.'),
};

export const modelLimitsSchema = z
  .strictObject(amounts)
  .optional()
  .describe(
    'What all callers of the model together may use; beyond it they get status 429 (docs/limits.md). Default: no limits.',
  );

export const keyLimitsSchema = z
  .strictObject({
    ...amounts,
    models: z
      .record(z.string().min(1), z.strictObject(amounts))
      .optional()
      .describe('Further limits on single models, by the name of a model, alias or adapter. Default: none.'),
  })
  .optional()
  .describe(
    'What the key may use; beyond it its requests get status 429 (docs/limits.md). Default: no limits.',
  );
