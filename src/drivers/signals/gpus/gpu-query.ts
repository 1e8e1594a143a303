/**
 * What nvidia-smi is asked, and how its answer is read. Values that a GPU or a driver does not have come as `[N/A]`,
 * `[Not Supported]`, `[Unknown Error]` or `ERR!`: they are unknown and never 0. Pure; tests/device/record-nvidia-smi.sh records the
 * same questions on a machine that has a GPU.
 */
import type { GpuFacts, GpuProcess } from '../../../contract/signals.ts';
import { throttleFacts } from './throttle-reasons.ts';

/** Older drivers do not know all names: for those there is another one, or null. */
const FIELDS = {
  index: null,
  uuid: null,
  name: null,
  'pci.bus_id': null,
  driver_version: null,
  'memory.total': null,
  'memory.reserved': null,
  'memory.used': null,
  'memory.free': null,
  'utilization.gpu': null,
  'utilization.memory': null,
  'temperature.gpu': null,
  'power.draw': null,
  'power.limit': null,
  'clocks.sm': null,
  'clocks.max.sm': null,
  'clocks_event_reasons.active': 'clocks_throttle_reasons.active',
  'ecc.errors.uncorrected.volatile.total': null,
  'ecc.errors.corrected.volatile.total': null,
  'remapped_rows.pending': null,
  'remapped_rows.failure': null,
} as const;

export type GpuField = keyof typeof FIELDS;
const GPU_FIELDS = Object.keys(FIELDS) as GpuField[];

/** A field, and the name by which this driver knows it. */
export type AskedField = readonly [field: GpuField, name: string];
export const ALL_FIELDS: readonly AskedField[] = GPU_FIELDS.map((field) => [field, field]);

const FORMAT = '--format=csv,noheader,nounits';
const MIB = 1_048_576;

export function gpuArguments(fields: readonly AskedField[]): string[] {
  return [`--query-gpu=${fields.map(([, name]) => name).join(',')}`, FORMAT];
}

export const APP_ARGUMENTS = ['--query-compute-apps=gpu_uuid,pid,process_name,used_gpu_memory', FORMAT];

/** The fields without one that this driver has refused, by its older name where it has one; null: nothing was refused. */
export function withoutRefused(fields: readonly AskedField[], output: string): AskedField[] | null {
  const [, refused] = /Field "([^"]+)" is not a valid field to query/.exec(output) ?? [];
  if (refused === undefined || !fields.some(([, name]) => name === refused)) return null;
  return fields.flatMap(([field, name]): AskedField[] => {
    if (name !== refused) return [[field, name]];
    const older = FIELDS[field];
    return older === null || older === refused ? [] : [[field, older]];
  });
}

export interface GpuRow extends GpuFacts {
  driverVersion?: string;
}

export function readGpuRows(output: string, fields: readonly AskedField[]): GpuRow[] {
  const rows: GpuRow[] = [];
  for (const line of output.split('\n')) {
    const values = line.split(',').map((value) => value.trim());
    // Other lines are warnings, or words about a GPU that cannot be asked.
    if (values.length !== fields.length || !/^\d+$/.test(values[0] ?? '')) continue;
    rows.push(rowOf(new Map(fields.map(([field], index) => [field, values[index] as string]))));
  }
  return rows;
}

const LOST = /GPU is lost|requires reset|ERR!|Unknown Error/i;

function rowOf(values: ReadonlyMap<GpuField, string>): GpuRow {
  const text = (field: GpuField) => {
    const value = values.get(field);
    return value === undefined || value === '' || /^\[.*\]$|^N\/A$|^ERR!$/.test(value) ? undefined : value;
  };
  const number = (field: GpuField) => {
    const value = Number(text(field)?.replace(/ [A-Za-z%]+$/, '') ?? Number.NaN);
    return Number.isFinite(value) ? value : undefined;
  };
  const scaled = (field: GpuField, factor: number) => {
    const value = number(field);
    return value === undefined ? undefined : value * factor;
  };
  const reasons = number('clocks_event_reasons.active');
  const pending = flag(text('remapped_rows.pending'));
  const failure = flag(text('remapped_rows.failure'));
  return defined({
    id: text('index') ?? '',
    name: text('name'),
    uuid: text('uuid'),
    pciBusId: text('pci.bus_id'),
    driverVersion: text('driver_version'),
    // Memory is what every GPU tells; one that does not, or says of anything that it is lost, cannot be used.
    reachable:
      !LOST.test(values.get('memory.used') ?? '') &&
      ![...values.values()].some((value) => /GPU is lost|requires reset/i.test(value)),
    totalBytes: scaled('memory.total', MIB),
    reservedBytes: scaled('memory.reserved', MIB),
    usedBytes: scaled('memory.used', MIB),
    freeBytes: scaled('memory.free', MIB),
    utilizationRatio: scaled('utilization.gpu', 0.01),
    memoryUtilizationRatio: scaled('utilization.memory', 0.01),
    temperatureC: number('temperature.gpu'),
    powerW: number('power.draw'),
    powerLimitW: number('power.limit'),
    smClockMhz: number('clocks.sm'),
    smClockMaxMhz: number('clocks.max.sm'),
    ...(reasons !== undefined && throttleFacts(reasons)),
    uncorrectedEccErrors: number('ecc.errors.uncorrected.volatile.total'),
    correctedEccErrors: number('ecc.errors.corrected.volatile.total'),
    remapPending:
      pending === undefined && failure === undefined ? undefined : pending === true || failure === true,
  });
}

function flag(value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  return /^yes$/i.test(value) || Number(value) > 0;
}

type Defined<Values> = { [Key in keyof Values]: Exclude<Values[Key], undefined> };

/** Leaves out what is unknown. */
function defined<Values extends object>(values: Values): Defined<Values> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Defined<Values>;
}

export interface GpuApp extends GpuProcess {
  gpuUuid: string;
}

/** The name is a path and may hold commas. */
export function readApps(output: string): GpuApp[] {
  return output.split('\n').flatMap((line): GpuApp[] => {
    const [, gpuUuid, pid, name, mib] = /^\s*([\w-]+), (\d+), (.*), ([^,]+)$/.exec(line) ?? [];
    const bytes = Number(mib) * MIB;
    if (gpuUuid === undefined || name === undefined || !Number.isFinite(bytes)) return [];
    return [{ gpuUuid, pid: Number(pid), name, bytes }];
  });
}

/** Addresses of GPUs that nvidia-smi says it cannot ask: `Unable to determine the device handle for GPU0000:3B:00.0: ...`. */
export function lostGpusIn(output: string): string[] {
  return [...output.matchAll(/device handle for GPU ?([0-9a-f:.]{10,20}?):? /gi)].map(
    ([, pci]) => pci as string,
  );
}
