/**
 * Port: keeps incidents over the lives of the node process. In the contract: a reader sees the old or the new content, never half
 * of one; what can not be read counts as not there. A full disk is an error of `write`, and the old content stays.
 */
import type { Incident } from '../incidents.ts';

export interface IncidentStore {
  /** Oldest first. */
  read(): Incident[];
  /** `report`: the same for people, in Markdown. */
  write(incident: Incident, report: string): Promise<void>;
  /** With its evidence. */
  remove(id: string): Promise<void>;
}
