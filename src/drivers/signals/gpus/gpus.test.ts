/** The answers of nvidia-smi are recorded ones where they could be (tests/device/recordings), else as its documentation shows them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PretendProc, pretendSubject } from '../../../../tests/support/pretend-proc.ts';
import { ProcessTable } from '../process-tree/process-table.ts';
import { DcgmExporter, readExportedGpus } from './dcgm-exporter.ts';
import { ALL_FIELDS, APP_ARGUMENTS, gpuArguments, readApps, readGpuRows } from './gpu-query.ts';
import { GpuSource } from './gpus.ts';
import { NvidiaSmi } from './nvidia-smi.ts';
import { type ProgramEnd, programRunner } from './program.ts';
import { throttleFacts } from './throttle-reasons.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const MIB = 2 ** 20;
const UUID = 'GPU-d12fac2d-0000-4000-8000-000000000001';

function recorded(name: string): ProgramEnd {
  const folder = join(ROOT, 'tests/device/recordings/h100-driver-580');
  const read = (end: string) => readFileSync(join(folder, `${name}.${end}`), 'utf8');
  return { kind: 'ended', code: Number(read('rc')), output: read('out') };
}

const ended = (output: string, code = 0): ProgramEnd => ({ kind: 'ended', code, output });

function row(values: Partial<Record<string, string>> = {}): string {
  const idle: Record<string, string> = {
    index: '0',
    uuid: 'GPU-a',
    name: 'NVIDIA H100',
    'pci.bus_id': '00000000:3B:00.0',
    driver_version: '570.86',
  };
  return ALL_FIELDS.map(([field]) => values[field] ?? idle[field] ?? '0').join(', ');
}

/** Answers one call after the other; the last one goes on. */
function scripted(...answers: [gpus: ProgramEnd, apps?: ProgramEnd][]) {
  const state = { nowMs: 0, calls: [] as string[] };
  let turn = -1;
  const smi = new NvidiaSmi({
    nowMs: () => state.nowMs,
    run: async (args) => {
      state.calls.push(args.join(' '));
      const isApps = args[0]?.startsWith('--query-compute-apps') === true;
      if (!isApps) turn++;
      const [gpus, apps = ended('')] = answers[Math.min(turn, answers.length - 1)]!;
      return isApps ? apps : gpus;
    },
  });
  return { smi, state };
}

const signal = new AbortController().signal;

describe('answers of nvidia-smi', () => {
  it('asks the same as what was recorded', () => {
    const script = readFileSync(join(ROOT, 'tests/device/record-nvidia-smi.sh'), 'utf8');
    const [, gpus] = /^gpu_fields=(\S+)$/m.exec(script)!;
    const [, apps] = /^app_fields=(\S+)$/m.exec(script)!;
    expect(gpuArguments(ALL_FIELDS)[0]).toBe(`--query-gpu=${gpus}`);
    expect(APP_ARGUMENTS[0]).toBe(`--query-compute-apps=${apps}`);
  });

  it('reads a GPU at work (recorded)', async () => {
    const { smi } = scripted([recorded('held-gpus'), recorded('held-apps')]);
    const seen = await smi.read(signal);
    expect(seen.problem).toBeNull();
    expect(seen.rows).toEqual([
      {
        id: '0',
        uuid: UUID,
        name: 'NVIDIA H100 80GB HBM3',
        pciBusId: '00000000:00:06.0',
        driverVersion: '580.159.04',
        reachable: true,
        totalBytes: 81_559 * MIB,
        reservedBytes: 480 * MIB,
        usedBytes: 16_979 * MIB,
        freeBytes: 64_101 * MIB,
        utilizationRatio: 0.99,
        memoryUtilizationRatio: 0.09,
        temperatureC: 60,
        powerW: 677.2,
        powerLimitW: 700,
        smClockMhz: 1980,
        smClockMaxMhz: 1980,
        throttled: false,
        throttleReasons: [],
        uncorrectedEccErrors: 0,
        correctedEccErrors: 0,
        remapPending: false,
      },
    ]);
    expect(seen.apps).toEqual([{ gpuUuid: UUID, pid: 547, name: 'python3', bytes: 16_970 * MIB }]);
  });

  it('still sees who holds memory when the process has just been killed (recorded)', () => {
    const end = recorded('at-once-apps') as { output: string };
    expect(readApps(end.output)).toEqual([
      { gpuUuid: UUID, pid: 547, name: '[No data]', bytes: 16_970 * MIB },
    ]);
  });

  it('leaves out what a GPU does not have, and takes none of it for 0', () => {
    for (const none of ['[N/A]', '[Not Supported]', 'N/A', 'ERR!', '[Unknown Error]', '']) {
      const values = Object.fromEntries(ALL_FIELDS.slice(9).map(([field]) => [field, none]));
      const [gpu] = readGpuRows(row({ ...values, 'memory.total': '100' }), ALL_FIELDS);
      expect(Object.keys(gpu!).sort(), none).toEqual(
        [
          'driverVersion',
          'freeBytes',
          'id',
          'name',
          'pciBusId',
          'reachable',
          'reservedBytes',
          'totalBytes',
          'usedBytes',
          'uuid',
        ].sort(),
      );
      expect(gpu!.reachable).toBe(true);
    }
  });

  it('says of a GPU that is lost, or must be reset, that it cannot be reached', () => {
    for (const lost of ['[GPU is lost]', '[GPU requires reset]', '[Unknown Error]', 'ERR!']) {
      const [gpu] = readGpuRows(row({ 'memory.used': lost, 'utilization.gpu': lost }), ALL_FIELDS);
      expect(gpu, lost).toMatchObject({ id: '0', reachable: false });
    }
  });

  it('sees rows that wait to be remapped, and heat', () => {
    const [gpu] = readGpuRows(
      row({ 'remapped_rows.pending': 'Yes', 'clocks_event_reasons.active': '0x0000000000000048' }),
      ALL_FIELDS,
    );
    expect(gpu).toMatchObject({
      remapPending: true,
      throttled: true,
      throttleReasons: ['hw_slowdown', 'hw_thermal_slowdown'],
    });
    expect(throttleFacts(0x5)).toEqual({ throttled: false, throttleReasons: ['gpu_idle', 'sw_power_cap'] });
  });

  it('reads names of programs with commas and blanks', () => {
    expect(readApps('GPU-a, 12, /opt/my app, v2/python, 300\nGPU-a, 13, x, [N/A]\n')).toEqual([
      { gpuUuid: 'GPU-a', pid: 12, name: '/opt/my app, v2/python', bytes: 300 * MIB },
    ]);
  });
});

describe('nvidia-smi', () => {
  it('asks an older driver by its own names, and without what it does not know', async () => {
    const refuse = (name: string) => ended(`Field "${name}" is not a valid field to query.\n`, 2);
    const { smi, state } = scripted(
      [refuse('clocks_event_reasons.active')],
      [refuse('memory.reserved')],
      [ended('0')],
    );
    await smi.read(signal);
    expect(state.calls).toHaveLength(4);
    expect(state.calls[1]).toContain('clocks_throttle_reasons.active');
    expect(state.calls[2]).not.toContain('memory.reserved');
    // As this driver really refuses one (recorded).
    expect((recorded('unknown-field') as { output: string }).output).toMatch(
      /^Field "no\.such_field" is not a valid field to query/,
    );
  });

  it('is asked once for all, and again after its interval, or ten times what it took', async () => {
    const { smi, state } = scripted([ended(row())]);
    await Promise.all([smi.read(signal), smi.read(signal)]);
    state.nowMs = 1_000;
    await smi.read(signal);
    expect(state.calls).toHaveLength(2);
    state.nowMs = 2_000;
    await smi.read(signal);
    expect(state.calls).toHaveLength(4);
  });

  it('says that a GPU is unreachable that was there before, and names it', async () => {
    const two = `${row()}\n${row({ index: '1', uuid: 'GPU-b', 'pci.bus_id': '00000000:5E:00.0' })}`;
    const cases: [string, number, string[]][] = [
      [row(), 0, ['GPU-b']],
      ['Unable to determine the device handle for GPU0000:5E:00.0: Unknown Error\n', 255, ['GPU-b']],
      ['No devices were found\n', 6, ['GPU-a', 'GPU-b']],
    ];
    for (const [output, code, lost] of cases) {
      const { smi, state } = scripted([ended(two)], [ended(output, code)]);
      await smi.read(signal);
      state.nowMs = 5_000;
      const { rows } = await smi.read(signal);
      expect(
        rows.filter(({ reachable }) => !reachable).map(({ uuid }) => uuid),
        output,
      ).toEqual(lost);
    }
  });

  it('takes no GPU for lost because it cannot be asked: a program that is missing, hangs, or has no driver', async () => {
    const failures: [ProgramEnd, RegExp][] = [
      [{ kind: 'missing' }, /was not found/],
      [{ kind: 'hung' }, /does not answer within 10 s/],
      [ended('Failed to initialize NVML: Driver/library version mismatch\n', 18), /version mismatch/],
      [recorded('unknown-gpu'), /No devices were found/],
      [ended('', 1), /printed nothing/],
    ];
    for (const [end, text] of failures) {
      const { smi } = scripted([end]);
      expect(await smi.read(signal)).toMatchObject({ rows: [], problem: expect.stringMatching(text) });
    }
    const { smi, state } = scripted([ended(row())], [{ kind: 'hung' }]);
    await smi.read(signal);
    state.nowMs = 20_000;
    expect(await smi.read(signal)).toMatchObject({ rows: [{ reachable: true }], problem: expect.anything() });
    state.nowMs = 60_000;
    expect((await smi.read(signal)).rows).toEqual([]);
  });

  it('keeps nobody waiting longer than he wants', async () => {
    const smi = new NvidiaSmi({ nowMs: () => 0, run: () => new Promise(() => {}) });
    const seen = await smi.read(AbortSignal.timeout(20));
    expect(seen).toMatchObject({ rows: [], problem: 'nvidia-smi has not answered yet' });
  });
});

describe('a program with a deadline', () => {
  it('is missing, ends with its status, or hangs, and is never started beside one that hangs', async () => {
    expect(await programRunner('/nowhere/smi', 5_000)([])).toEqual({ kind: 'missing' });
    const node = programRunner(process.execPath, 5_000);
    expect(await node(['-e', 'console.log(1); process.exit(6)'])).toEqual({
      kind: 'ended',
      code: 6,
      output: '1\n',
    });
    const hanging = programRunner(process.execPath, 100);
    expect(await hanging(['-e', 'setInterval(() => {}, 1000)'])).toEqual({ kind: 'hung' });
  });
});

describe('GPUs of an engine', () => {
  let proc: PretendProc;
  beforeEach(() => {
    proc = new PretendProc();
    proc.set({ pid: 100, owner: 'abc:replica:m/0#2#1#f' });
    proc.set({ pid: 101, parentId: 100, groupId: 101 });
    proc.set({ pid: 200, owner: 'abc:replica:m/1#1#2#f' });
    proc.set({ pid: 300, name: 'python' });
  });
  afterEach(() => proc[Symbol.dispose]());

  const two = `${row()}\n${row({ index: '1', uuid: 'GPU-b', 'pci.bus_id': '00000000:5E:00.0' })}`;
  const apps =
    'GPU-a, 101, VLLM::Worker_TP0, 1000\nGPU-a, 300, python, 500\nGPU-a, 200, python3, 70\nGPU-b, 200, python3, 7\n';

  function source(over: Partial<ConstructorParameters<typeof GpuSource>[0]> = {}) {
    const table = new ProcessTable({ nowMs: () => 0, root: proc.root });
    const { smi } = scripted([ended(two), ended(apps)]);
    return new GpuSource({
      table,
      nvidiaSmi: smi,
      dcgm: new DcgmExporter({ nowMs: () => 0, fetchText: async () => null }),
      ...over,
    });
  }

  it('are those that it holds memory on, with what is its own and what is of strangers', async () => {
    const gpus = source({ xidsSince: () => new Map([['0000:3b:00', 79]]) });
    const reading = await gpus.look(pretendSubject(), signal);
    expect(reading.gpus).toHaveLength(1);
    expect(reading.gpus?.[0]).toMatchObject({
      id: '0',
      ownBytes: 1000 * MIB,
      foreignBytes: 500 * MIB,
      xid: 79,
      processes: [{ pid: 101 }, { pid: 300 }, { pid: 200 }],
    });
    expect(gpus.pciBusIdsOf(pretendSubject())).toEqual(['00000000:3B:00.0']);
    expect(gpus.pciBusIdsOf(pretendSubject({ generation: 9 }))).toBeNull();
    expect(gpus.bytesByPid().get(200)).toBe(77 * MIB);
  });

  it('are those that it may see, as long as it holds none', async () => {
    const ids = async (environment: Record<string, string>, engine = 'vllm') => {
      proc.set({ pid: 101, parentId: 1 });
      proc.set({ pid: 100, owner: 'abc:replica:m/0#2#1#f', environment });
      return (await source().look(pretendSubject({ engine }), signal)).gpus?.map(({ id }) => id) ?? [];
    };
    expect(await ids({ CUDA_VISIBLE_DEVICES: '1' })).toEqual(['1']);
    expect(await ids({ NVIDIA_VISIBLE_DEVICES: 'GPU-b' })).toEqual(['1']);
    expect(await ids({ CUDA_VISIBLE_DEVICES: '' })).toEqual([]);
    expect(await ids({ NVIDIA_VISIBLE_DEVICES: 'all' })).toEqual(['0', '1']);
    expect(await ids({})).toEqual(['0', '1']);
    // The embedded engine computes on processors unless it is seen on a GPU.
    expect(await ids({}, 'embedded')).toEqual([]);
  });

  it('have no owners where process ids are those of another namespace', async () => {
    const [gpu] = (await source({ samePids: false }).look(pretendSubject(), signal)).gpus!;
    expect(gpu).not.toHaveProperty('ownBytes');
    expect(gpu).not.toHaveProperty('foreignBytes');
  });

  it('are completed by the exporter, and come from it alone for an engine that runs elsewhere', async () => {
    const asked: string[] = [];
    const dcgm = new DcgmExporter({
      nowMs: () => 0,
      fetchText: async (url) => {
        asked.push(url);
        return 'DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL{gpu="0",UUID="GPU-a"} 4\nDCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a"} 9\n';
      },
    });
    const gpuMetricsUrl = 'http://{host}:9400/metrics';
    const gpus = source({ dcgm });
    const [own] = (await gpus.look(pretendSubject({ gpuMetricsUrl }), signal)).gpus!;
    expect(own).toMatchObject({ nvlinkErrors: 4, usedBytes: 0 });
    const elsewhere = pretendSubject({ gpuMetricsUrl, process: null, replica: 'x/0', url: 'http://h9:1' });
    expect((await gpus.look(elsewhere, signal)).gpus).toEqual([
      { id: '0', uuid: 'GPU-a', reachable: true, usedBytes: 9 * MIB, nvlinkErrors: 4 },
    ]);
    expect(asked).toEqual(['http://127.0.0.1:9400/metrics', 'http://h9:9400/metrics']);
  });

  it('are unknown without a driver or an exporter, and both are said', async () => {
    const { smi } = scripted([{ kind: 'missing' }]);
    const reading = await source({ nvidiaSmi: smi }).look(
      pretendSubject({ gpuMetricsUrl: 'http://me:pw@h:9400/metrics' }),
      signal,
    );
    expect(reading).toEqual({
      unavailable: [
        'GPUs: nvidia-smi was not found; it comes with the driver of NVIDIA; the rest works without it',
        'GPUs: the exporter at http://h:9400/metrics does not answer; the rest works without it',
      ],
    });
  });
});

describe('the DCGM exporter', () => {
  const text = (xid: number) => `# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-a",pci_bus_id="00000000:3B:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",Hostname="h",DCGM_FI_DRIVER_VERSION="570.86.15"} 1200
DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a"} 91
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a"} 402.5
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a"} 97
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-a"} 1000
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a"} 80000
DCGM_FI_DEV_FB_RESERVED{gpu="0",UUID="GPU-a"} 559
DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-a",err_code="${xid}",err_msg="x"} ${xid}
DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{gpu="0",UUID="GPU-a"} 1
DCGM_FI_DEV_ROW_REMAP_FAILURE{gpu="0",UUID="GPU-a"} 0
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu="0",UUID="GPU-a"} 64
DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL{gpu="0",UUID="GPU-a"} 3
DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL{gpu="0",UUID="GPU-a"} 2
DCGM_FI_DEV_MEM_COPY_UTIL{gpu="0",UUID="GPU-a"} 2147483632
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b"} NaN
up 1
`;

  it('is read with every field that it publishes, and blanks are unknown', () => {
    const { gpus, xids } = readExportedGpus(text(0));
    expect(gpus).toEqual([
      {
        id: '0',
        reachable: true,
        uuid: 'GPU-a',
        name: 'NVIDIA H100 80GB HBM3',
        pciBusId: '00000000:3B:00.0',
        usedBytes: 80000 * MIB,
        freeBytes: 1000 * MIB,
        reservedBytes: 559 * MIB,
        totalBytes: 81559 * MIB,
        utilizationRatio: 0.97,
        temperatureC: 91,
        powerW: 402.5,
        smClockMhz: 1200,
        uncorrectedEccErrors: 1,
        throttled: true,
        throttleReasons: ['hw_thermal_slowdown'],
        remapPending: false,
        nvlinkErrors: 5,
      },
    ]);
    expect([...xids]).toEqual([['0', 0]]);
  });

  it('tells an Xid only when it has come since the engine was first seen', async () => {
    using proc = new PretendProc();
    let xid = 31;
    let nowMs = 0;
    const gpus = new GpuSource({
      table: new ProcessTable({ nowMs: () => nowMs, root: proc.root }),
      nvidiaSmi: scripted([{ kind: 'missing' }]).smi,
      dcgm: new DcgmExporter({ nowMs: () => nowMs, fetchText: async () => text(xid) }),
    });
    const subject = pretendSubject({ process: null, gpuMetricsUrl: 'http://h:9400/metrics' });
    expect((await gpus.look(subject, signal)).gpus?.[0]).not.toHaveProperty('xid');
    xid = 79;
    nowMs = 10_000;
    expect((await gpus.look(subject, signal)).gpus?.[0]).toMatchObject({ xid: 79 });
  });

  it('is asked once by all replicas of its address', async () => {
    let asked = 0;
    const dcgm = new DcgmExporter({
      nowMs: () => 0,
      fetchText: async () => {
        asked++;
        return '';
      },
    });
    await Promise.all([dcgm.read('http://a/'), dcgm.read('http://a/'), dcgm.read('http://b/')]);
    expect(asked).toBe(2);
  });
});
