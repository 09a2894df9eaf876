import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, constantFrom, integer, property, string } from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Corpus, chunksOf, cut, readCorpus } from './corpus.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corpus-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function file(path: string, content: string | Buffer): Promise<void> {
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), content);
}

function read(options: { documentsMax?: number; markdownOnly?: boolean; signal?: AbortSignal } = {}) {
  const { documentsMax = 100, markdownOnly = false, signal = new AbortController().signal } = options;
  return readCorpus({ folder, documentsMax, markdownOnly, signal });
}

const paths = ({ documents }: Corpus): string[] => documents.map(({ path }) => path);

describe('a folder', () => {
  test('gives its text files in the same order every time, and counts what it passes over', async () => {
    await file('b.txt', 'two');
    await file('a.md', 'one');
    await file('sub/c.ts', 'three');
    await file('blank.txt', ' \n');
    await file('latin1.txt', Buffer.from([0x63, 0xe9]));
    await file('binary', 'a\0b');
    await file('.hidden', 'no');
    await file('.git/config', 'no');
    await file('node_modules/x/README.md', 'no');
    const corpus = await read();
    expect(paths(corpus)).toEqual(['a.md', 'b.txt', 'sub/c.ts']);
    expect(corpus).toMatchObject({ skipped: 3, cut: false });
  });

  test('gives Markdown only when asked, nested node_modules included', async () => {
    await file('x/README.md', 'one');
    await file('x/index.js', 'no');
    await file('x/node_modules/y/readme.MD', 'two');
    expect(paths(await read({ markdownOnly: true }))).toEqual(['x/README.md', 'x/node_modules/y/readme.MD']);
  });

  test('is cut at the most documents allowed, and says so', async () => {
    for (const name of ['a', 'b', 'c']) await file(name, name);
    const corpus = await read({ documentsMax: 2 });
    expect(paths(corpus)).toEqual(['a', 'b']);
    expect(corpus.cut).toBe(true);
    expect((await read({ documentsMax: 3 })).cut).toBe(false);
  });

  test('that cannot be read or holds no text is refused in a sentence', async () => {
    const missing = { folder: join(folder, 'nope'), documentsMax: 1, markdownOnly: false };
    const { signal } = new AbortController();
    await expect(readCorpus({ ...missing, signal })).rejects.toThrow(/cannot be read: it does not exist\.$/);
    await expect(read()).rejects.toThrow(/There is no text to index/);
    await file('a', 'text');
    await expect(readCorpus({ ...missing, folder: join(folder, 'a'), signal })).rejects.toThrow(
      /it is not a folder/,
    );
  });

  // Root may read everything.
  test.skipIf(process.getuid?.() === 0)('inside it that cannot be read is passed over', async () => {
    await file('a', 'text');
    await file('closed/b', 'text');
    await chmod(join(folder, 'closed'), 0);
    const corpus = await read();
    await chmod(join(folder, 'closed'), 0o700);
    expect(paths(corpus)).toEqual(['a']);
    expect(corpus.skipped).toBe(1);
  });

  test('is left when the run is aborted', async () => {
    await file('a', 'text');
    await expect(read({ signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');
  });
});

describe('cutting', () => {
  test('loses no character but blanks, exceeds no length, and halves no surrogate pair', () => {
    const text = string({
      unit: constantFrom('a', 'b', ' ', '\n', '. ', '\n\n', '😀'),
      maxLength: 300,
    });
    assert(
      property(text, integer({ min: 4, max: 40 }), (whole, charactersMax) => {
        const pieces = cut(whole, charactersMax);
        expect(pieces.join('').replace(/\s/g, '')).toBe(whole.replace(/\s/g, ''));
        for (const piece of pieces) {
          expect(piece.length).toBeLessThanOrEqual(charactersMax);
          expect(piece.length).toBeGreaterThan(0);
          expect(piece.isWellFormed()).toBe(true);
        }
      }),
    );
  });

  test('prefers the end of a paragraph to that of a line, and that to a blank', () => {
    expect(cut('one two three\n\nfour\nfive six', 20)).toEqual(['one two three', 'four\nfive six']);
    expect(cut('one two\nthree four', 12)).toEqual(['one two', 'three four']);
    expect(cut('one two three', 9)).toEqual(['one two', 'three']);
  });

  test('numbers the chunks of a document and gives each an id that a second run gives again', () => {
    const document = { path: 'a/b.md', text: 'word '.repeat(400) };
    const chunks = chunksOf(document);
    expect(chunks.map(({ metadata }) => metadata.position)).toEqual([0, 1, 2]);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(3);
    expect(new Set(chunks.map(({ metadata }) => metadata.document_id)).size).toBe(1);
    expect(chunks[0]?.metadata.path).toBe('a/b.md');
    expect(chunksOf(document)).toEqual(chunks);
  });
});
