// Where the text comes from: the files of a folder, cut into chunks.
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { StartupError } from '../src/errors.ts';

export interface TextDocument {
  /** Path within the folder, `/` between its parts on every system. */
  readonly path: string;
  readonly text: string;
}

export interface Chunk {
  readonly id: string;
  readonly document: string;
  readonly metadata: { readonly document_id: string; readonly path: string; readonly position: number };
}

export interface Corpus {
  readonly documents: readonly TextDocument[];
  /** Files and folders passed over: unreadable, too large, or not text. */
  readonly skipped: number;
  /** True when there was more than `documentsMax` allowed. */
  readonly cut: boolean;
}

export interface CorpusOptions {
  readonly folder: string;
  readonly documentsMax: number;
  /** Markdown files only, wherever they lie; otherwise every text file outside nested node_modules. */
  readonly markdownOnly: boolean;
  readonly signal: AbortSignal;
}

// Larger files are dumps and lock files rather than prose, and a thousand chunks of one would drown the rest.
const FILE_BYTES_MAX = 1024 * 1024;
// About 150 words: long enough to mean something, short enough for a hit to be read at a glance.
const CHUNK_CHARACTERS_MAX = 800;

/** Reads text files in path order. Throws StartupError when the folder cannot be read or holds no text. */
export async function readCorpus(options: CorpusOptions): Promise<Corpus> {
  const documents: TextDocument[] = [];
  let skipped = 0;
  for await (const path of walk(options, () => skipped++)) {
    const text = await readText(path);
    if (text === null) {
      skipped++;
      continue;
    }
    if (documents.length === options.documentsMax) return { documents, skipped, cut: true };
    documents.push({ path: relative(options.folder, path).split(sep).join('/'), text });
  }
  if (documents.length === 0) throw new StartupError(`There is no text to index in ${options.folder}.`);
  return { documents, skipped, cut: false };
}

async function* walk(options: CorpusOptions, onUnreadable: () => void): AsyncGenerator<string> {
  const folders = [options.folder];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    options.signal.throwIfAborted();
    let entries: Dirent[];
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      if (folder === options.folder) throw unreadable(folder, error);
      onUnreadable();
      continue;
    }
    // By code unit, not by locale: the same folder gives the same documents on every machine.
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (entry.isFile() && wanted(entry.name, options)) yield join(folder, entry.name);
    }
    for (const entry of entries.toReversed()) {
      if (entry.isDirectory() && entered(entry.name, options)) folders.push(join(folder, entry.name));
    }
  }
}

function wanted(name: string, options: CorpusOptions): boolean {
  return options.markdownOnly ? /\.(md|markdown)$/i.test(name) : !name.startsWith('.');
}

function entered(name: string, options: CorpusOptions): boolean {
  return !name.startsWith('.') && (options.markdownOnly || name !== 'node_modules');
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'it is not a folder',
  EACCES: 'permission is denied',
};

function unreadable(folder: string, error: unknown): StartupError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = REASONS[code] ?? String(error);
  return new StartupError(`The folder ${folder} cannot be read: ${reason}.`, { cause: error });
}

/** The file's text; null when it cannot be read, is too large, is blank, or is not UTF-8 text. */
async function readText(path: string): Promise<string | null> {
  try {
    if ((await stat(path)).size > FILE_BYTES_MAX) return null;
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
    return text.includes('\0') || text.trim() === '' ? null : text;
  } catch {
    return null;
  }
}

/** The chunks of one document, in order; ids depend on the path alone, so a second run gives the same. */
export function chunksOf(document: TextDocument): Chunk[] {
  const documentId = createHash('sha256').update(document.path).digest('hex').slice(0, 16);
  return cut(document.text, CHUNK_CHARACTERS_MAX).map((text, position) => ({
    id: `${documentId}-${position}`,
    document: text,
    metadata: { document_id: documentId, path: document.path, position },
  }));
}

/** Cuts text into trimmed, non-empty pieces of at most `charactersMax`, at paragraphs where it can. */
export function cut(text: string, charactersMax: number): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length;) {
    const end = start + cutAt(text.slice(start, start + charactersMax + 1), charactersMax);
    const piece = text.slice(start, end).trim();
    if (piece !== '') pieces.push(piece);
    start = end;
  }
  return pieces;
}

function cutAt(window: string, charactersMax: number): number {
  if (window.length <= charactersMax) return window.length;
  for (const boundary of ['\n\n', '\n', '. ', ' ']) {
    const at = window.lastIndexOf(boundary, charactersMax - boundary.length);
    // Before the middle it would make crumbs; a lesser boundary further on is better.
    if (at > charactersMax / 2) return at + boundary.length;
  }
  // Half a surrogate pair is not a character: servers refuse it as malformed JSON.
  const last = window.charCodeAt(charactersMax - 1);
  return last >= 0xd800 && last <= 0xdbff ? charactersMax - 1 : charactersMax;
}
