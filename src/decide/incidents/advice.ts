/** What a person should do about an incident now: nothing, in most cases, and what keeps it from coming again. */
import { FAULTS, type FaultSpec } from '../../contract/faults.ts';
import type { Incident } from '../../contract/incidents.ts';
import { REMEDIES, type RemedySpec } from '../../contract/remedies.ts';

export function todoOf(incident: Incident): string[] {
  const { state, replica } = incident;
  const fault = faultOf(incident);
  const undo = undoOf(incident);
  switch (state) {
    case 'open':
    case 'healing':
      return [
        `Nothing yet: it is being dealt with. \`autoglm incidents show ${incident.id}\` shows how far it is.`,
      ];
    case 'recovered':
      return [
        ...(undo === null ? ['Nothing now: the replica serves again.'] : [undo]),
        ...(fault === null ? [] : [`What is done about such a fault, should it come again: ${fault.todo}.`]),
      ];
    case 'given-up':
      return [
        `The replica stays down until somebody acts. ${
          fault === null ? unknownTodo(incident) : `${sentence(fault.todo)}.`
        }`,
        `Then start it: \`autoglm restart ${replica}\`.`,
      ];
    case 'stood-down':
      return [
        'Nothing: it was ended from outside, by a person, by the configuration or by a new node process.',
      ];
  }
}

/** Of a remedy that helped, and that holds until somebody takes it back. */
function undoOf({ remedies, replica }: Incident): string | null {
  const last = remedies.findLast(({ helped }) => helped === true);
  const spec = last === undefined ? null : remedyOf(last.remedy);
  if (last === undefined || spec === null || !spec.needsPerson) return null;
  const undo = spec.undo?.replaceAll('REPLICA', replica);
  return `The remedy ${last.remedy} is still in force: ${spec.meaning}.${
    undo === undefined ? '' : ` It is taken back so: ${undo}.`
  }`;
}

function unknownTodo({ evidence, id }: Incident): string {
  return evidence === null
    ? 'What is wrong is not known: read the last lines of its log (`autoglm diagnose FILE` says what they mean).'
    : `What is wrong is not known: look at the evidence (\`autoglm incidents evidence ${id}\`), its log first.`;
}

function faultOf({ diagnosis }: Incident): FaultSpec | null {
  return Object.hasOwn(FAULTS, diagnosis.class) ? FAULTS[diagnosis.class as keyof typeof FAULTS] : null;
}

function remedyOf(name: string): RemedySpec | null {
  return Object.hasOwn(REMEDIES, name) ? REMEDIES[name as keyof typeof REMEDIES] : null;
}

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
