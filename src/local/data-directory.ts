// Opens the data directory of a local cluster and stores its id, number of nodes and ports.
//
//   polychrome.json   description: id, number of nodes, ports
//   lock.json         the process that uses the directory (process-record.ts)
//   children.json     the processes it started
//   postgres/         PostgreSQL (postgres.ts)
//   nodes/ID/         one folder per Chroma server
//   logs/             output of the servers

import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { StartupError } from '../errors.ts';
import { explainFilesystemError } from './filesystem-errors.ts';

const DESCRIPTION_FILE = 'polychrome.json';
/** Increased when the layout of the directory changes; newer formats are refused. */
const FORMAT = 1;

const descriptionSchema = z.object({
  format: z.number().int(),
  id: z.uuid(),
  nodes: z.number().int().min(1).optional(),
  ports: z.record(z.string(), z.number().int()),
});

type DirectoryDescription = z.infer<typeof descriptionSchema>;

export interface DataDirectory {
  readonly path: string;
  readonly id: string;
  /** Number of nodes at the last start; null for a new directory. */
  readonly nodes: number | null;
  /** Port of a child at the last start; null when it has had none. */
  port(child: string): number | null;
  remember(values: { readonly nodes: number; readonly ports: Readonly<Record<string, number>> }): void;
  nodeFolder(nodeId: string): string;
  readonly postgresFolder: string;
  logFile(child: string): string;
}

/** Opens a data directory; initialises it when missing or empty. Throws StartupError for a foreign or unwritable one. */
export function openDataDirectory(path: string): DataDirectory {
  const directory = resolve(path);
  try {
    return open(directory);
  } catch (error) {
    throw explainFilesystemError(error, directory);
  }
}

function open(directory: string): DataDirectory {
  makeDirectory(directory);
  const known = readDescription(directory);
  let description: DirectoryDescription = known ?? { format: FORMAT, id: randomUUID(), ports: {} };
  if (known === null) writeDescription(directory, description);
  for (const folder of ['nodes', 'logs']) mkdirSync(join(directory, folder), { recursive: true });
  return {
    path: directory,
    id: description.id,
    nodes: description.nodes ?? null,
    port: (child) => description.ports[child] ?? null,
    remember({ nodes, ports }) {
      description = { ...description, nodes, ports: { ...description.ports, ...ports } };
      writeDescription(directory, description);
    },
    nodeFolder: (nodeId) => join(directory, 'nodes', nodeId),
    postgresFolder: join(directory, 'postgres'),
    logFile: (child) => join(directory, 'logs', `${child}.log`),
  };
}

/** Makes the directory and its parents. Not with `recursive`: that never ends where a file system takes no folders (/proc). */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = dirname(path);
  if (!existsSync(parent)) makeDirectory(parent);
  mkdirSync(path);
}

function readDescription(directory: string): DirectoryDescription | null {
  const entries = readdirSync(directory);
  if (!entries.includes(DESCRIPTION_FILE)) {
    // An interrupted first start leaves a draft of that file; a new file system contains lost+found.
    const foreign = entries.filter(
      (entry) => !entry.startsWith(`${DESCRIPTION_FILE}.`) && entry !== 'lost+found',
    );
    if (foreign.length === 0) return null;
    throw new StartupError(
      `${directory} is not empty and not a Polychrome data directory (it has no ${DESCRIPTION_FILE}): choose another directory with --data.`,
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(join(directory, DESCRIPTION_FILE), 'utf8'));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  const parsed = descriptionSchema.safeParse(content);
  if (!parsed.success)
    throw new StartupError(
      `${join(directory, DESCRIPTION_FILE)} is damaged: restore it from a backup, or choose another directory with --data.`,
    );
  if (parsed.data.format > FORMAT) {
    throw new StartupError(
      `The data directory ${directory} was created by a newer Polychrome: start that version.`,
    );
  }
  return parsed.data;
}

function writeDescription(directory: string, description: DirectoryDescription): void {
  const file = join(directory, DESCRIPTION_FILE);
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(description, undefined, 2)}\n`);
  renameSync(draft, file);
}
