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

/** A StartupError for what is known to be the folder's fault; any other error as it came. */
export function explainFilesystemError(error: unknown, directory: string): unknown {
  const reason = REASONS[(error as NodeJS.ErrnoException | undefined)?.code ?? ''];
  if (reason === undefined || error instanceof StartupError) return error;
  return new StartupError(`The data directory ${directory} cannot be used: ${reason}.`, { cause: error });
}
