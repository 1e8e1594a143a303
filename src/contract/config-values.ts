/** Kinds of values that sections of the configuration and models have in common. */
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import { CACHE_ENDPOINTS } from './fleet.ts';

/** Secrets become a type that prints as `[secret]` the moment they are validated. */
export const secret = (lengthMin: number, text: string) =>
  z
    .string()
    .min(lengthMin)
    .max(4096)
    .describe(text)
    .transform((written) => new Secret(written));

export const milliseconds = z.number().int().min(1).max(86_400_000);
export const positiveMs = (defaultMs: number, text: string) =>
  milliseconds.default(defaultMs).describe(`${text} Milliseconds, 1 to 86400000.`);

/** How answers are kept for others; each model may say otherwise than the section for all. */
export const cacheMode = z.enum(['never', 'by-header', 'always']);
export const cacheTtl = z.number().int().min(1).max(31_536_000);
export const cacheEndpoints = z.array(z.enum(CACHE_ENDPOINTS)).min(1);
