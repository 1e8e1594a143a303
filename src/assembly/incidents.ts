/** Builds what keeps incidents: the book, the collector of evidence, the metrics, and what the supervisor asks before it ends an engine. */
import type { Clock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import type { IncidentEvidence } from '../contract/incident-report.ts';
import type { EvidenceMaterial } from '../contract/ports/evidence.ts';
import { poolOf } from '../contract/replica-id.ts';
import { metricsUrlOf } from '../drivers/engines/triton-metrics.ts';
import { LocalEvidence } from '../drivers/evidence/evidence-collector.ts';
import { listPids, readProcStat, readProcVariable } from '../drivers/process/proc-stat.ts';
import { openIncidentFolders } from '../drivers/storage/incident-folders.ts';
import { IncidentBook } from '../planes/control/incidents/incident-book.ts';
import { generationPrefix } from '../planes/supervisor/owner-tag.ts';
import type { SupervisorOptions } from '../planes/supervisor/supervisor-options.ts';
import { hashOf } from './config/config-hash.ts';
import { RELEASE } from './config/release.ts';
import type { ResolvedConfig, ResolvedModel } from './config/resolve-config.ts';
import { shownConfig } from './config/shown-config.ts';
import { IncidentMetrics } from './incident-metrics.ts';
import type { LogLevel } from './node-log.ts';

export interface IncidentsOptions {
  config: ResolvedConfig;
  clock: Clock;
  /** Those that are served at the moment. */
  models(): readonly ResolvedModel[];
  /** Queue and requests of all gateways, as they say; plain data. */
  requests(): Promise<unknown>;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
}

export interface Incidents {
  readonly book: IncidentBook;
  readonly capture: NonNullable<SupervisorOptions['capture']>;
  /** By the id of the incident, or its beginning. Throws `not_found` and `invalid_request`. */
  evidence(id: string): Promise<IncidentEvidence>;
  /** Prometheus text. */
  metrics(): string;
  /** Resolves when all is written that the disk takes. */
  close(): Promise<void>;
}

export function assembleIncidents({ config, clock, models, requests, log }: IncidentsOptions): Incidents {
  const { paths } = config;
  const metrics = new IncidentMetrics();
  const book = new IncidentBook({
    ...{ clock, log },
    store: openIncidentFolders(paths.incidentDir),
    onClosed: (report) => metrics.closed(report),
  });
  const evidence = new LocalEvidence({
    settings: config.evidence,
    clock,
    directory: paths.incidentDir,
    stateDir: paths.root,
    processes: { pids: listPids, stat: readProcStat, variable: readProcVariable },
    path: config.inherited.PATH ?? '',
    gpuProgram: config.signals.nvidiaSmi,
    isOpen: (incident) => book.isOpen(incident),
    log,
  });
  const materialOf = (signals: unknown, launchHash: string): EvidenceMaterial => {
    const shown = shownConfig(config, models());
    return {
      signals,
      requests,
      configuration: { revision: hashOf(shown), launchHash, ...shown },
      node: { release: RELEASE },
      secrets: secretsOf(config, models()),
    };
  };
  return {
    book,
    capture: async ({ signals, launchHash, url, ...subject }, signal) => {
      const model = models().find(({ modelName }) => modelName === poolOf(subject.replica));
      const { incident, replica, generation } = subject;
      const { folder } = await evidence.capture(
        {
          ...subject,
          ownerPrefix: generationPrefix(paths.instance, replica, generation),
          metricsUrl: url === null ? null : metricsUrlFor(url, model),
          engineKey: model?.engineKey,
        },
        materialOf(signals, launchHash),
        signal,
      );
      if (folder === null) log('warn', 'no evidence was kept', { incident, replica });
      return folder;
    },
    evidence: async (id) => {
      const { id: incident, evidence: folder } = book.report(id);
      const bundles = await evidence.bundles(incident);
      return { incident, path: folder === null ? null : `${paths.root}/${folder}`, bundles };
    },
    metrics: () => metrics.render(book.openCount()),
    close: () => book.close(),
  };
}

function metricsUrlFor(url: string, model: ResolvedModel | undefined): string {
  if (model?.engine !== 'triton') return `${url}/metrics`;
  const { servedModel, protocol, metricsUrl } = model;
  return metricsUrlOf({
    ...{ url, servedModel },
    ...(protocol !== undefined && { protocol }),
    ...(metricsUrl !== undefined && { metricsUrl }),
  });
}

/** What must not stand in evidence: keys that engines are asked with, and all that their environment says. */
function secretsOf({ gateway }: ResolvedConfig, models: readonly ResolvedModel[]): Secret[] {
  return [
    ...models.flatMap(({ engineKey, perUrl, env }) => [
      ...(engineKey === undefined ? [] : [engineKey]),
      ...perUrl.flatMap((url) => url.engineKey ?? []),
      ...Object.entries(env)
        .filter(([name]) => /key|token|secret|pass|credential/i.test(name))
        .map(([, value]) => new Secret(value)),
    ]),
    ...(gateway.redis === null ? [] : [new Secret(gateway.redis.url)]),
  ];
}
