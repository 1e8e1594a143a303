/** Tells a disk that is full, or a quota that is used up, from one that is broken: only the first asks people to free space. */
const NO_ROOM = ['ENOSPC', 'EDQUOT', 'EFBIG'];

export function isNoRoom(error: unknown): boolean {
  return NO_ROOM.includes((error as NodeJS.ErrnoException).code ?? '');
}
