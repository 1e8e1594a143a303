/**
 * AUTOGLM_OWNER of engines: whose they are and what a supervisor needs to adopt one whose record was never written.
 * `<instance>:replica:<id>#<generation>#<port>#<launch hash>`; the port is 0 where the engine chooses it.
 */
export interface OwnerTag {
  replica: string;
  generation: number;
  port: number;
  launchHash: string;
}

export function ownerPrefix(instance: string): string {
  return `${instance}:replica:`;
}

/** Prefix of the tags of all starts of a replica. */
export function generationsPrefix(instance: string, replica: string): string {
  return `${ownerPrefix(instance)}${replica}#`;
}

/** Prefix of the tags of one start, children included. */
export function generationPrefix(instance: string, replica: string, generation: number): string {
  return `${generationsPrefix(instance, replica)}${generation}#`;
}

export function ownerText(instance: string, tag: OwnerTag): string {
  return `${generationPrefix(instance, tag.replica, tag.generation)}${tag.port}#${tag.launchHash}`;
}

/** Undefined for a tag that is not of this form. */
export function parseOwner(instance: string, text: string): OwnerTag | undefined {
  const prefix = ownerPrefix(instance);
  if (!text.startsWith(prefix)) return undefined;
  const [, replica, generation, port, launchHash] =
    /^(.+)#(\d+)#(\d+)#([0-9a-f]+)$/s.exec(text.slice(prefix.length)) ?? [];
  if (replica === undefined || launchHash === undefined) return undefined;
  return { replica, generation: Number(generation), port: Number(port), launchHash };
}
