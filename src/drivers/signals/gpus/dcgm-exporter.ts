/**
 * GPUs as NVIDIA's DCGM exporter publishes them (names: DCGM field identifiers, dcgm_fields.h). It knows of NVLink errors, and also
 * sees GPUs of other machines; it does not say which process holds memory. Asked once for all replicas of an address.
 */
import type { GpuFacts } from '../../../contract/signals.ts';
import { type PrometheusSample, parsePrometheusText } from '../../../wire/prometheus/parse.ts';
import { throttleFacts } from './throttle-reasons.ts';

export interface ExportedGpus {
  gpus: readonly GpuFacts[];
  /** Last Xid of each GPU by its id, whenever that was; 0: none. */
  xids: ReadonlyMap<string, number>;
}

const MIB = 1_048_576;

/** Field of ours -> names of the exporter, of which the first that occurs counts, and what a unit of it is. */
const NUMBERS: readonly (readonly [field: keyof GpuFacts, names: readonly string[], factor: number])[] = [
  ['usedBytes', ['DCGM_FI_DEV_FB_USED'], MIB],
  ['freeBytes', ['DCGM_FI_DEV_FB_FREE'], MIB],
  ['reservedBytes', ['DCGM_FI_DEV_FB_RESERVED'], MIB],
  ['totalBytes', ['DCGM_FI_DEV_FB_TOTAL'], MIB],
  ['utilizationRatio', ['DCGM_FI_DEV_GPU_UTIL'], 0.01],
  ['memoryUtilizationRatio', ['DCGM_FI_DEV_MEM_COPY_UTIL'], 0.01],
  ['temperatureC', ['DCGM_FI_DEV_GPU_TEMP'], 1],
  ['powerW', ['DCGM_FI_DEV_POWER_USAGE'], 1],
  ['powerLimitW', ['DCGM_FI_DEV_ENFORCED_POWER_LIMIT', 'DCGM_FI_DEV_POWER_MGMT_LIMIT'], 1],
  ['smClockMhz', ['DCGM_FI_DEV_SM_CLOCK'], 1],
  ['smClockMaxMhz', ['DCGM_FI_DEV_MAX_SM_CLOCK'], 1],
  ['uncorrectedEccErrors', ['DCGM_FI_DEV_ECC_DBE_VOL_TOTAL'], 1],
  ['correctedEccErrors', ['DCGM_FI_DEV_ECC_SBE_VOL_TOTAL'], 1],
];

/** Each is a total over all links of a GPU; they are added up. */
const NVLINK_ERRORS = [
  'DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL',
  'DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL',
  'DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL',
  'DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL',
];
const THROTTLE = ['DCGM_FI_DEV_CLOCKS_EVENT_REASONS', 'DCGM_FI_DEV_CLOCK_THROTTLE_REASONS'];
const REMAP = ['DCGM_FI_DEV_ROW_REMAP_PENDING', 'DCGM_FI_DEV_ROW_REMAP_FAILURE'];
/** DCGM says "not supported", "not found" and the like by numbers from here on (DCGM_INT32_BLANK and up). */
const BLANK_MIN = 0x7f_ff_ff_f0;

export function readExportedGpus(text: string): ExportedGpus {
  const samples = parsePrometheusText(text).filter(
    ({ name, value, labels }) =>
      name.startsWith('DCGM_FI_') && labels.gpu !== undefined && value >= 0 && value < BLANK_MIN,
  );
  const byGpu = Map.groupBy(samples, ({ labels }) => labels.gpu as string);
  const gpus = [...byGpu].map(([id, own]) => gpuOf(id, own));
  const xids = new Map(
    [...byGpu].flatMap(([id, own]) => {
      const xid = firstOf(own, ['DCGM_FI_DEV_XID_ERRORS']);
      return xid === undefined ? [] : [[id, xid] as const];
    }),
  );
  return { gpus, xids };
}

function gpuOf(id: string, samples: readonly PrometheusSample[]): GpuFacts {
  const labels = samples[0]?.labels ?? {};
  const { UUID: uuid, modelName: name, pci_bus_id: pciBusId } = labels;
  const numbers = NUMBERS.flatMap(([field, names, factor]) => {
    const value = firstOf(samples, names);
    return value === undefined ? [] : [[field, value * factor] as const];
  });
  const links = NVLINK_ERRORS.flatMap((counter) => firstOf(samples, [counter]) ?? []);
  const reasons = firstOf(samples, THROTTLE);
  const remaps = REMAP.flatMap((field) => firstOf(samples, [field]) ?? []);
  const facts: GpuFacts = {
    id,
    reachable: true,
    ...(uuid !== undefined && { uuid }),
    ...(name !== undefined && { name }),
    ...(pciBusId !== undefined && { pciBusId }),
    ...Object.fromEntries(numbers),
    ...(reasons !== undefined && throttleFacts(reasons)),
    ...(remaps.length > 0 && { remapPending: remaps.some((value) => value > 0) }),
    ...(links.length > 0 && { nvlinkErrors: links.reduce((sum, value) => sum + value, 0) }),
  };
  return withTotal(facts);
}

function withTotal(facts: GpuFacts): GpuFacts {
  const { totalBytes, usedBytes, freeBytes, reservedBytes = 0 } = facts;
  if (totalBytes !== undefined || usedBytes === undefined || freeBytes === undefined) return facts;
  return { ...facts, totalBytes: usedBytes + freeBytes + reservedBytes };
}

function firstOf(samples: readonly PrometheusSample[], names: readonly string[]): number | undefined {
  for (const wanted of names) {
    const found = samples.find(({ name }) => name === wanted);
    if (found !== undefined) return found.value;
  }
  return undefined;
}

export interface DcgmOptions {
  nowMs(): number;
  /** What an exporter publishes, within the time; null: it did not answer as it should. */
  fetchText: (url: string, timeoutMs: number) => Promise<string | null>;
}

const FRESH_MS = 1_800;
const TIMEOUT_MS = 1_200;
const ADDRESSES_MAX = 256;

export class DcgmExporter {
  readonly #nowMs: () => number;
  readonly #fetchText: DcgmOptions['fetchText'];
  readonly #asked = new Map<string, { atMs: number; answer: Promise<ExportedGpus | null> }>();

  constructor({ nowMs, fetchText }: DcgmOptions) {
    this.#nowMs = nowMs;
    this.#fetchText = fetchText;
  }

  /** Null: it does not answer. */
  async read(url: string): Promise<ExportedGpus | null> {
    const known = this.#asked.get(url);
    if (known !== undefined && this.#nowMs() - known.atMs < FRESH_MS) return await known.answer;
    if (known === undefined && this.#asked.size === ADDRESSES_MAX) this.#asked.clear();
    const answer = this.#fetchText(url, TIMEOUT_MS).then((text) =>
      text === null ? null : readExportedGpus(text),
    );
    this.#asked.set(url, { atMs: this.#nowMs(), answer });
    return await answer;
  }
}
