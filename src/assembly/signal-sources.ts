/** Builds what looks at engines from outside: the sources of this machine, and those of plug-ins. Nothing is looked at yet. */
import type { Clock } from '../base/clock.ts';
import type { SignalSource } from '../contract/ports/signal-source.ts';
import { CgroupSource } from '../drivers/signals/cgroup/cgroup.ts';
import { ContainerSource } from '../drivers/signals/containers/containers.ts';
import { DcgmExporter } from '../drivers/signals/gpus/dcgm-exporter.ts';
import { GpuSource } from '../drivers/signals/gpus/gpus.ts';
import { NvidiaSmi } from '../drivers/signals/gpus/nvidia-smi.ts';
import { HostMemorySource } from '../drivers/signals/host-memory.ts';
import { KernelLogSource } from '../drivers/signals/kernel-log/kernel-log.ts';
import { hasHostPids } from '../drivers/signals/pid-namespace.ts';
import { ProcessTable } from '../drivers/signals/process-tree/process-table.ts';
import { ProcessTreeSource } from '../drivers/signals/process-tree/process-tree.ts';
import { exporterText } from '../drivers/telemetry/gpu-exporter.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import { loadSignalPlugins } from './config/signal-plugins.ts';
import type { LogLevel } from './node-log.ts';
import type { SignalMetrics } from './signal-metrics.ts';

export interface SignalSourcesOptions {
  config: Pick<ResolvedConfig, 'configPath' | 'signals'>;
  clock: Clock;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
  /** Keeps what is found for /metrics. Default: nobody does. */
  signalMetrics?: SignalMetrics;
}

/** Throws PlatformError `config_invalid` when a module of `signal_sources` is none. Whoever gets them closes them. */
export function createSignalSources({
  config,
  clock,
  log,
  signalMetrics,
}: SignalSourcesOptions): SignalSource[] {
  const nowMs = () => clock.monotonicMs();
  const plugins = loadSignalPlugins(config, {
    nowMs,
    log: (message) => log('info', 'a plug-in for signals says', { message }),
  });
  const { kernelLog, nvidiaSmi, dockerSocket } = config.signals;
  const samePids = hasHostPids();
  const table = new ProcessTable({ nowMs });
  const tree: ProcessTreeSource = new ProcessTreeSource({ table, gpuBytesByPid: () => gpus.bytesByPid() });
  const kernel: KernelLogSource = new KernelLogSource({
    nowMs,
    machineMs: () => clock.machineMs(),
    samePids,
    pidsOf: (subject) => tree.pidsOf(subject),
    pciBusIdsOf: (subject) => gpus.pciBusIdsOf(subject),
    ...(kernelLog !== undefined && { file: kernelLog }),
  });
  const gpus = new GpuSource({
    table,
    samePids,
    nvidiaSmi: new NvidiaSmi({ nowMs, program: nvidiaSmi }),
    dcgm: new DcgmExporter({ nowMs, fetchText: exporterText }),
    xidsSince: (subject) => kernel.xidsSince(subject),
  });
  const sources = [
    tree,
    new CgroupSource({ nowMs }),
    new HostMemorySource(),
    kernel,
    gpus,
    ...(dockerSocket === undefined ? [] : [new ContainerSource({ nowMs, socketPath: dockerSocket })]),
    ...plugins,
  ];
  return signalMetrics === undefined ? sources : sources.map((source) => signalMetrics.watch(source));
}
