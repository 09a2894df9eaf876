// Turns file system errors of the data directory into messages for the operator.

import { StartupError } from '../errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'the current user has no permission to write there',
  EPERM: 'the current user has no permission to write there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota of the user is exhausted',
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENOENT: 'its file system takes no new folders',
  EEXIST: 'it is a file, not a folder',
};

/** Returns the code of a system error (`ENOENT`) or of a PostgreSQL error (SQLSTATE); null when it has none. */
export function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** Creates the error for a full disk. */
export function diskFull(directory: string, cause?: unknown): StartupError {
  return new StartupError(`The data directory ${directory} cannot be used: ${REASONS['ENOSPC']}.`, { cause });
}

/** Returns a StartupError when the directory causes the error; otherwise the error unchanged. */
export function explainFilesystemError(error: unknown, directory: string): unknown {
  const reason = REASONS[errorCode(error) ?? ''];
  if (reason === undefined || error instanceof StartupError) return error;
  return new StartupError(`The data directory ${directory} cannot be used: ${reason}.`, { cause: error });
}
