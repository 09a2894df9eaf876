// What the file system refuses, told as one sentence to the person who chose the folder.

import { StartupError } from '../errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'it is on a read-only file system',
  ENOSPC: 'the disk is full',
  EDQUOT: "the user's disk quota is used up",
  ENOTDIR: 'a part of that path is a file, not a folder',
  EEXIST: 'it is a file, not a folder',
};

/** The code of a system error (`ENOENT`) or of PostgreSQL (SQLSTATE); undefined when it has none. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The sentence for a disk without room. */
export function diskFull(directory: string, cause?: unknown): StartupError {
  return new StartupError(`The data directory ${directory} cannot be used: ${REASONS['ENOSPC']}.`, { cause });
}

/** A StartupError for what is known to be the folder's fault; any other error as it came. */
export function explainFilesystemError(error: unknown, directory: string): unknown {
  const reason = REASONS[errorCode(error) ?? ''];
  if (reason === undefined || error instanceof StartupError) return error;
  return new StartupError(`The data directory ${directory} cannot be used: ${reason}.`, { cause: error });
}
