// Turns the text files of a folder into records: chunks of text with embeddings.
import { glob, readFile, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { crc32 } from 'node:zlib';
import { StartupError } from '../src/errors.ts';

export interface TextRecord {
  readonly id: string;
  readonly document: string;
  readonly metadata: Readonly<Record<string, string | number>>;
  readonly embedding: readonly number[];
}

export interface CorpusOptions {
  readonly folder: string;
  /** Glob of the files to read; wildcards match no hidden file or folder. */
  readonly pattern: string;
  readonly documentsMax: number;
  readonly signal: AbortSignal;
}

// Larger files are usually generated, and the chunks of one such file would dominate the corpus.
const FILE_BYTES_MAX = 1024 * 1024;
// Bounds the memory used for paths when the folder is a whole disk.
const PATHS_MAX = 200_000;
const DIMENSIONS = 128;

/** Reads files outside nested node_modules in path order. Throws StartupError when it finds no text. */
export async function readCorpus(
  options: CorpusOptions,
): Promise<{ documents: number; records: TextRecord[] }> {
  const { folder, pattern, documentsMax, signal } = options;
  const paths: string[] = [];
  const exclude = (path: string): boolean => basename(path) === 'node_modules';
  for await (const path of glob(pattern, { cwd: folder, exclude })) {
    signal.throwIfAborted();
    if (paths.push(path) === PATHS_MAX) break;
  }
  const records: TextRecord[] = [];
  let documents = 0;
  // Sorts by code unit, so that every machine reads the same documents.
  for (const path of paths.sort()) {
    if (documents === documentsMax) break;
    signal.throwIfAborted();
    const chunks = chunksOf(await readText(join(folder, path)));
    if (chunks.length > 0) documents++;
    for (const [position, document] of chunks.entries()) {
      const metadata = { path: path.split(sep).join('/'), position };
      records.push({ id: `${metadata.path}#${position}`, document, metadata, embedding: embed(document) });
    }
  }
  if (documents === 0) throw new StartupError(`The folder ${folder} contains no readable text.`);
  return { documents, records };
}

/** Returns an empty text for a folder and for a file that is unreadable, too large or not UTF-8. */
async function readText(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > FILE_BYTES_MAX) return '';
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
    return text.includes('\0') ? '' : text;
  } catch {
    return '';
  }
}

/** Cuts text at blanks into chunks of at most 800 characters (about 150 words), and longer words anywhere. */
export function chunksOf(text: string): string[] {
  return text.match(/\S.{0,799}(?!\S)|\S{1,800}/gsu)?.map((chunk) => chunk.trimEnd()) ?? [];
}

/** Hashes character trigrams into a unit vector of exact f32 values, which servers return unchanged. */
export function embed(text: string): number[] {
  const sums = Array.from({ length: DIMENSIONS }, () => 0);
  const normal = ` ${text.toLowerCase().replace(/\s+/gu, ' ')} `;
  for (let start = 0; start + 3 <= normal.length; start++) {
    // CRC-32 alone is too regular in its low bits; the factor is Knuth's for multiplicative hashing.
    const hash = Math.imul(crc32(normal.slice(start, start + 3)), 0x9e37_79b1) >>> 0;
    // One bit of the hash is the sign, so that collisions cancel out.
    sums[(hash >>> 8) % DIMENSIONS]! += hash >>> 31 === 0 ? 1 : -1;
  }
  const norm = Math.hypot(...sums) || 1;
  return sums.map((sum) => Math.fround(sum / norm));
}
