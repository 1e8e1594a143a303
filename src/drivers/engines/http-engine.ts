/** An engine behind HTTP as an `EngineDriver`, made from what sets it apart from others: its profile. */
import type { EngineCapabilities, EngineKind } from '../../contract/fleet.ts';
import type { LogRule } from '../../contract/log-rule.ts';
import type {
  EngineDriver,
  EngineOptions,
  LaunchContext,
  LaunchPlan,
  OptionFault,
} from '../../contract/ports/engine-driver.ts';
import { ownCommand } from './command-line.ts';
import { type MetricNames, readEngineMetrics } from './engine-metrics.ts';
import { climbRung, type Ladder } from './http-ladder.ts';

export interface EngineProfile
  extends Pick<EngineDriver, 'clearCache' | 'drain' | 'resume' | 'abort'>,
    Ladder {
  kind: EngineKind;
  capabilities: EngineCapabilities;
  /** Requests in flight at once when the configuration does not say. */
  defaultWindow: number;
  /** Undefined: the engine publishes none. */
  metricNames: MetricNames | undefined;
  logRules?: readonly LogRule[];
  /** Undefined: the engine can neither quantize nor split a model when told to. */
  optionFault?: (options: EngineOptions) => OptionFault | undefined;
  /** How to start it when the configuration has no `command:`. Undefined: only by such a command. */
  launch?: (context: LaunchContext) => LaunchPlan | Promise<LaunchPlan>;
}

export function createHttpEngine(profile: EngineProfile): EngineDriver {
  const { kind, capabilities, defaultWindow, metricNames, launch } = profile;
  const { clearCache, drain, resume, abort } = profile;
  return {
    kind,
    capabilities,
    defaultWindow,
    logRules: profile.logRules ?? [],
    optionFault: profile.optionFault ?? ((options) => plainOptionFault(kind, options)),
    launch: async (context) => {
      if (context.command !== undefined) return ownCommand(context, context.command);
      return launch === undefined ? ownCommand(context, []) : launch(context);
    },
    probe: (target, rung, signal) => climbRung(target, rung, profile, signal),
    readMetrics: async (target, signal) =>
      metricNames === undefined ? undefined : readEngineMetrics(target, metricNames, signal),
    ...(clearCache !== undefined && { clearCache }),
    ...(drain !== undefined && { drain }),
    ...(resume !== undefined && { resume }),
    ...(abort !== undefined && { abort }),
  };
}

/** For engines that have neither option. */
function plainOptionFault(kind: EngineKind, options: EngineOptions): OptionFault | undefined {
  if (options.quantize !== undefined) {
    const message = `found "${options.quantize}"; engine "${kind}" has no such option: leave it out`;
    return { option: 'quantize', message };
  }
  return noTensorParallel(kind, options, 'leave it out');
}

/** The fault of a `tensor_parallel_size` above 1 where it cannot be given. */
export function noTensorParallel(
  kind: EngineKind,
  { tensorParallelSize }: EngineOptions,
  remedy: string,
): OptionFault | undefined {
  if (tensorParallelSize === undefined || tensorParallelSize === 1) return undefined;
  const message = `found ${tensorParallelSize}; engine "${kind}" has no such option: ${remedy}`;
  return { option: 'tensor_parallel_size', message };
}
