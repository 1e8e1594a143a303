/** An engine behind HTTP as an `EngineDriver`, made from what sets it apart from others: its profile. */
import type { EngineCapabilities, EngineKind } from '../../contract/fleet.ts';
import type {
  AdapterCalls,
  EngineDriver,
  LaunchContext,
  LaunchPlan,
} from '../../contract/ports/engine-driver.ts';
import { ownCommand } from './command-line.ts';
import { type MetricNames, readEngineMetrics } from './engine-metrics.ts';
import { climbRung } from './http-ladder.ts';

export interface EngineProfile {
  kind: EngineKind;
  capabilities: EngineCapabilities;
  /** Requests in flight at once when the configuration does not say. */
  defaultWindow: number;
  healthPath: string;
  /** Undefined: the engine publishes none. */
  metricNames: MetricNames | undefined;
  /** How to start it when the configuration has no `command:`. Undefined: only by such a command. */
  launch?: (context: LaunchContext) => LaunchPlan | Promise<LaunchPlan>;
  /** Undefined: the engine serves no LoRA adapters. */
  adapters?: AdapterCalls;
}

export function createHttpEngine(profile: EngineProfile): EngineDriver {
  const { kind, capabilities, defaultWindow, healthPath, metricNames, launch, adapters } = profile;
  return {
    kind,
    capabilities,
    defaultWindow,
    ...(adapters !== undefined && { adapters }),
    launch: async (context) => {
      if (context.command !== undefined) return ownCommand(context, context.command);
      return launch === undefined ? ownCommand(context, []) : launch(context);
    },
    probe: (target, rung, signal) => climbRung(target, rung, healthPath, signal),
    readMetrics: async (target, signal) =>
      metricNames === undefined ? undefined : readEngineMetrics(target, metricNames, signal),
  };
}
