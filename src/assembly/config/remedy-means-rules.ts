/** Rules for what a model gives to remedies: standby replicas, spare devices and safer steps must be of use when they are needed. */
import type { Config } from '../../contract/config-schema.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import type { ConfigProblem } from './config-problem.ts';

export function checkRemedyMeans({ models }: Config): ConfigProblem[] {
  return models.flatMap((model, index) =>
    [...watchedOnly(model), ...checkDevices(model), ...checkSteps(model)].map(({ path, message }) => ({
      path: ['models', index, ...path],
      message,
    })),
  );
}

/** What a remedy would start cannot be started. */
function watchedOnly({ urls, standby, spare_devices, safer_steps }: ModelConfig): ConfigProblem[] {
  if (urls === undefined) return [];
  const given = [
    ...(standby > 0 ? ['standby'] : []),
    ...(spare_devices.length > 0 ? ['spare_devices'] : []),
    ...(safer_steps !== undefined && safer_steps.length > 0 ? ['safer_steps'] : []),
  ];
  const message =
    'found together with `urls`; engines that run already are watched and never started, so leave it out';
  return given.map((key) => ({ path: [key], message }));
}

/** Where the environment of an engine says which devices it has. */
const DEVICE_VARIABLES = ['CUDA_VISIBLE_DEVICES', 'HIP_VISIBLE_DEVICES'] as const;

function checkDevices({ spare_devices, tensor_parallel_size, env }: ModelConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const own = new Set(DEVICE_VARIABLES.flatMap((name) => env[name]?.split(',') ?? []));
  const takenBy = new Map<string, number>();
  for (const [position, list] of spare_devices.entries()) {
    const path = ['spare_devices', position];
    const devices = list.split(',');
    if (tensor_parallel_size !== undefined && devices.length !== tensor_parallel_size)
      problems.push({
        path,
        message: `found "${list}", ${countText(devices.length)}; would be right: ${tensor_parallel_size}, the value of \`tensor_parallel_size\`, with commas between them`,
      });
    for (const device of devices) {
      const other = takenBy.get(device);
      takenBy.set(device, position);
      const place = other === position ? 'twice' : `in spare_devices[${other}], too`;
      if (other !== undefined)
        problems.push({
          path,
          message: `found device "${device}" ${place}; each device can be a spare one of one replica only`,
        });
      else if (own.has(device))
        problems.push({
          path,
          message: `found device "${device}", which \`env\` gives to the engine already; name one that nobody uses`,
        });
    }
  }
  return problems;
}

function countText(count: number): string {
  return count === 1 ? 'one device' : `${count} devices`;
}

function checkSteps(model: ModelConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const before = { max_batch_size: model.max_batch_size, max_seq_length: model.max_seq_length };
  for (const [position, step] of (model.safer_steps ?? []).entries()) {
    const path = ['safer_steps', position];
    if (Object.values(step).every((value) => value === undefined)) {
      const message =
        'found nothing in it; would be right: one or more of max_batch_size, max_seq_length, args, env';
      problems.push({ path, message });
    }
    for (const key of ['max_batch_size', 'max_seq_length'] as const) {
      const value = step[key];
      const limit = before[key];
      if (value === undefined) continue;
      if (limit !== undefined && value >= limit) {
        const message = `found ${value}, which is not safer than the ${limit} before it; would be right: a smaller number`;
        problems.push({ path: [...path, key], message });
      }
      before[key] = value;
    }
  }
  return problems;
}
