/**
 * The node's book of incidents: takes every fact, keeps what they add up to in memory and on disk, and answers for it. It decides
 * nothing. A disk that fails costs only what a restart would need; it is tried again with the next change.
 */
import type { Clock } from '../../../base/clock.ts';
import { createRedactor } from '../../../base/redaction.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { Fact } from '../../../contract/facts.ts';
import type { IncidentReport, IncidentSummary } from '../../../contract/incident-report.ts';
import type { Incident } from '../../../contract/incidents.ts';
import type { IncidentStore } from '../../../contract/ports/incident-store.ts';
import { foldFact, foldTime, incidentsFrom } from '../../../decide/incidents/fold.ts';
import { type IncidentsState, isOpen } from '../../../decide/incidents/incidents-state.ts';
import { reportOf, summaryOf } from '../../../decide/incidents/report.ts';
import { reportMarkdown } from '../../../wire/incidents/report-text.ts';

export interface IncidentBookOptions {
  clock: Clock;
  store: IncidentStore;
  /** Once per incident, when it is over. */
  onClosed(report: IncidentReport): void;
  log(level: 'warn' | 'error', message: string, detail: Record<string, unknown>): void;
}

/** From a change to its writing: facts come in bursts. */
const WRITE_MS = 50;
/** Shortest beginning of an id that names an incident: `inc_` and six letters of its time. */
const PREFIX_MIN = 10;

export class IncidentBook {
  readonly #options: IncidentBookOptions;
  #state: IncidentsState;
  /** Not on disk as they are now. */
  readonly #unwritten = new Set<string>();
  /** To be deleted there. */
  readonly #dropped = new Set<string>();
  #writing: Promise<void> | null = null;
  #diskFails = false;

  /** Reads what former node processes have kept. */
  constructor(options: IncidentBookOptions) {
    this.#options = options;
    const kept = options.store.read();
    this.#state = incidentsFrom(kept, options.clock.wallMs());
    for (const { id } of kept) if (!this.#state.incidents.has(id)) this.#dropped.add(id);
  }

  record(fact: Fact): void {
    this.#become(foldFact(this.#state, withoutSecrets(fact)));
    this.#become(foldTime(this.#state, this.#options.clock.wallMs()));
  }

  /** Newest first. */
  list(): IncidentSummary[] {
    return [...this.#current().incidents.values()].map(summaryOf).reverse();
  }

  openCount(): number {
    return [...this.#current().incidents.values()].filter(isOpen).length;
  }

  isOpen(id: string): boolean {
    const incident = this.#state.incidents.get(id);
    return incident !== undefined && isOpen(incident);
  }

  /** By its id, or the beginning of it. Throws `not_found` and `invalid_request`. */
  report(id: string): IncidentReport {
    return reportOf(this.#find(id));
  }

  /** Resolves when all is written that the disk takes. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#write();
  }

  #find(id: string): Incident {
    const { incidents } = this.#current();
    const exact = incidents.get(id);
    if (exact !== undefined) return exact;
    const found = [...incidents.values()].filter((incident) => incident.id.startsWith(id));
    const [first] = found;
    if (first === undefined || !id.startsWith('inc_')) {
      throw new PlatformError('not_found', `there is no incident "${id}"; \`autoglm incidents\` lists them`);
    }
    if (found.length > 1 || id.length < PREFIX_MIN) {
      const why = found.length > 1 ? `${found.length} ids begin so` : 'too short';
      throw new PlatformError(
        'invalid_request',
        `found incident "${id}": ${why}; would be right: a whole id, such as ${first.id}, or at least ${PREFIX_MIN} of its first characters`,
      );
    }
    return first;
  }

  #current(): IncidentsState {
    this.#become(foldTime(this.#state, this.#options.clock.wallMs()));
    return this.#state;
  }

  #become(next: IncidentsState): void {
    const before = this.#state;
    if (next === before) return;
    this.#state = next;
    if (next.incidents === before.incidents) return;
    for (const id of before.incidents.keys()) if (!next.incidents.has(id)) this.#dropped.add(id);
    for (const [id, incident] of next.incidents) {
      const former = before.incidents.get(id);
      if (former === incident) continue;
      this.#unwritten.add(id);
      const wasOpen = former === undefined || isOpen(former);
      if (wasOpen && !isOpen(incident)) this.#options.onClosed(reportOf(incident));
    }
    if (this.#unwritten.size + this.#dropped.size > 0) void this.#writeSoon();
  }

  async #writeSoon(): Promise<void> {
    if (this.#writing !== null) return;
    this.#writing = this.#options.clock.sleep(WRITE_MS).then(() => this.#write());
    await this.#writing;
    this.#writing = null;
    // What came while it was written; what the disk refuses waits for the next fact.
    if (this.#unwritten.size + this.#dropped.size > 0 && !this.#diskFails) void this.#writeSoon();
  }

  async #write(): Promise<void> {
    const { store, log } = this.#options;
    for (const id of [...this.#dropped]) {
      this.#dropped.delete(id);
      this.#unwritten.delete(id);
      await store.remove(id).catch((error: unknown) => {
        log('warn', 'an old incident could not be deleted', { incident: id, error: String(error) });
      });
    }
    for (const id of [...this.#unwritten]) {
      const incident = this.#state.incidents.get(id);
      this.#unwritten.delete(id);
      if (incident === undefined) continue;
      try {
        await store.write(incident, reportMarkdown(reportOf(incident)));
        this.#diskFails = false;
      } catch (error) {
        this.#unwritten.add(id);
        this.#tellDisk(id, error);
        return;
      }
    }
  }

  /** Once, until it works again. */
  #tellDisk(incident: string, error: unknown): void {
    if (this.#diskFails) return;
    this.#diskFails = true;
    this.#options.log('error', 'incidents could not be written; they are kept in memory', {
      incident,
      error: String(error),
    });
  }
}

const redactor = createRedactor([]);

/** Lines of logs stand in a diagnosis, and a report is sent around. */
function withoutSecrets(fact: Fact): Fact {
  const quotes = fact.type === 'incidentOpened' || fact.type === 'incidentDiagnosed';
  return quotes ? (redactor.data(fact) as Fact) : fact;
}
