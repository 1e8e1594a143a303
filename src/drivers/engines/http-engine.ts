/** An engine behind HTTP as an `EngineDriver`, made from what sets it apart from others: its profile. */
import type { EngineCapabilities, EngineKind } from '../../contract/fleet.ts';
import type { LogRule } from '../../contract/log-rule.ts';
import type {
  AdapterCalls,
  EngineDriver,
  LaunchContext,
  LaunchPlan,
} from '../../contract/ports/engine-driver.ts';
import { ownCommand } from './command-line.ts';
import { type MetricNames, readEngineMetrics } from './engine-metrics.ts';
import { askCanary, climbRung, type Ladder } from './http-ladder.ts';

export interface EngineProfile
  extends Pick<EngineDriver, 'clearCache' | 'drain' | 'resume' | 'abort'>,
    Ladder {
  kind: EngineKind;
  capabilities: EngineCapabilities;
  /** Requests in flight at once when the configuration does not say. */
  defaultWindow: number;
  /** Undefined: the engine publishes none. */
  metricNames: MetricNames | undefined;
  /** Read when they are first asked for: most commands never do. */
  logRules?: () => readonly LogRule[];
  /** How to start it when the configuration has no `command:`. Undefined: only by such a command. */
  launch?: (context: LaunchContext) => LaunchPlan | Promise<LaunchPlan>;
  /** Undefined: the engine serves no LoRA adapters. */
  adapters?: AdapterCalls;
}

export function createHttpEngine(profile: EngineProfile): EngineDriver {
  const { kind, capabilities, defaultWindow, metricNames, launch, adapters } = profile;
  const { clearCache, drain, resume, abort } = profile;
  let logRules: readonly LogRule[] | undefined;
  return {
    kind,
    capabilities,
    defaultWindow,
    get logRules() {
      logRules ??= profile.logRules?.() ?? [];
      return logRules;
    },
    ...(adapters !== undefined && { adapters }),
    launch: async (context) => {
      if (context.command !== undefined) return ownCommand(context, context.command);
      return launch === undefined ? ownCommand(context, []) : launch(context);
    },
    probe: (target, rung, signal) => climbRung(target, rung, profile, signal),
    canary: askCanary,
    readMetrics: async (target, signal) =>
      metricNames === undefined ? undefined : readEngineMetrics(target, metricNames, signal),
    ...(clearCache !== undefined && { clearCache }),
    ...(drain !== undefined && { drain }),
    ...(resume !== undefined && { resume }),
    ...(abort !== undefined && { abort }),
  };
}
