/** Replica ids: `<pool>/<ordinal>`, stable over restarts. Pool names may hold slashes themselves. */
export function replicaId(pool: string, ordinal: number): string {
  return `${pool}/${ordinal}`;
}

export function poolOf(id: string): string {
  return id.slice(0, Math.max(0, id.lastIndexOf('/')));
}
