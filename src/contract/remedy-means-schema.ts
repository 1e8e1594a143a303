/** What an entry of `models` gives to remedies: standby replicas, spare devices, safer settings. */
import { z } from 'zod';

const DEVICES_PATTERN = /^[A-Za-z0-9_/.-]+(,[A-Za-z0-9_/.-]+)*$/;

export const standbySchema = z
  .number()
  .int()
  .min(0)
  .max(64)
  .default(0)
  .describe(
    'Hot standby replicas, beside `replicas`: loaded, without traffic, each takes the place of one that fails at once (remedy `move_to_standby`). Only for engines that we start.',
  );

export const spareDevicesSchema = z
  .array(
    z
      .string()
      .max(1024)
      .regex(DEVICES_PATTERN, 'expected devices with commas and no spaces, such as "1" or "2,3"'),
  )
  .max(16)
  .default([])
  .describe(
    'Devices that remedy `rebuild_elsewhere` may use, one text for each replica that may move, such as ["4", "5"], or ["4,5"] for two devices. The engine gets the text as CUDA_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES. Only for engines that we start.',
  );

export const saferStepsSchema = z
  .array(
    z.strictObject({
      max_batch_size: z
        .number()
        .int()
        .min(1)
        .max(4096)
        .optional()
        .describe('Requests in flight from this step on.'),
      max_seq_length: z
        .number()
        .int()
        .min(64)
        .max(10_000_000)
        .optional()
        .describe('Context in tokens from this step on.'),
      args: z
        .array(z.string())
        .min(1)
        .optional()
        .describe(
          'Arguments of the engine, in its own words; they replace the same options of `args` and of the steps before.',
        ),
      env: z
        .record(z.string(), z.string())
        .optional()
        .describe('Variables of the engine, beside those of `env`.'),
    }),
  )
  .max(8)
  .optional()
  .describe(
    'Steps of remedy `restart_safer`, the mildest first; each is taken upon those before it. `[]`: there is none. Default: half of `max_batch_size`, then less memory where the engine has an option for it, then half of `max_seq_length` where that is given (docs/auto-recovery.md).',
  );
