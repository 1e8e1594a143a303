/** `incidents/<id>/` in the state directory: `incident.json` for programs, `report.md` for people, `evidence/` beside them. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Incident, incidentSchema } from '../../contract/incidents.ts';
import type { IncidentStore } from '../../contract/ports/incident-store.ts';
import { writeWholeFile } from './whole-file.ts';

const RECORD = 'incident.json';
const IS_ID = /^inc_[a-z0-9]{1,60}$/;

export function openIncidentFolders(directory: string): IncidentStore {
  return {
    read: () =>
      folders(directory)
        .flatMap((id) => readIncident(directory, id) ?? [])
        .sort((a, b) => a.openedAtMs - b.openedAtMs),
    write: async (incident, report) => {
      const folder = join(directory, incident.id);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeWholeFile(join(folder, RECORD), `${JSON.stringify(incident, null, 2)}\n`);
      await writeWholeFile(join(folder, 'report.md'), report);
    },
    remove: (id) =>
      IS_ID.test(id) ? rm(join(directory, id), { recursive: true, force: true }) : Promise.resolve(),
  };
}

function folders(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => IS_ID.test(name));
  } catch {
    return [];
  }
}

function readIncident(directory: string, id: string): Incident | null {
  try {
    const found = incidentSchema.parse(JSON.parse(readFileSync(join(directory, id, RECORD), 'utf8')));
    return found.id === id ? found : null;
  } catch {
    return null;
  }
}
