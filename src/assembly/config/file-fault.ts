/** Why a file could not be read or written, in words for the person who named it. */

const READING: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory, and a file is wanted',
  ENOTDIR: 'a part of the path is no directory',
  EACCES: 'this user may not read it',
};

const WRITING: Readonly<Record<string, string>> = {
  ENOENT: 'its directory does not exist',
  EISDIR: 'it is a directory; name a file in it',
  ENOTDIR: 'a part of the path is no directory',
  EACCES: 'this user may not write there',
  EROFS: 'nothing can be written there (read-only file system)',
  ENOSPC: 'the disk is full',
};

export function readFault(error: unknown): string {
  return faultIn(READING, error, 'it cannot be read');
}

export function writeFault(error: unknown): string {
  return faultIn(WRITING, error, 'it cannot be written');
}

function faultIn(words: Readonly<Record<string, string>>, error: unknown, otherwise: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return words[code ?? ''] ?? `${otherwise}: ${message}`;
}
