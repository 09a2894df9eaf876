import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { chunksOf, embed, readCorpus } from './corpus.ts';

async function read(files: Record<string, string | Buffer>, pattern = '**/*', documentsMax = 100) {
  const folder = await mkdtemp(join(tmpdir(), 'corpus-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  const { signal } = new AbortController();
  const { documents, records } = await readCorpus({ folder, pattern, documentsMax, signal });
  expect(new Set(records.map(({ metadata }) => metadata['path'])).size).toBe(documents);
  return records.map(({ id }) => id);
}

test('reads text files in path order; skips hidden, binary, blank and nested package files', async () => {
  const files = {
    'b.txt': 'two',
    'a.md': 'one',
    'sub/c.ts': 'three '.repeat(200),
    'blank.txt': ' \n',
    'latin1.txt': Buffer.from([0x63, 0xe9]),
    binary: 'a\0b',
    '.hidden': 'no',
    '.git/config': 'no',
    'node_modules/x/README.md': 'no',
  };
  expect(await read(files)).toEqual(['a.md#0', 'b.txt#0', 'sub/c.ts#0', 'sub/c.ts#1']);
  expect(await read(files, '**/*.{md,markdown}')).toEqual(['a.md#0']);
  expect(await read(files, '**/*', 1)).toEqual(['a.md#0']);
});

test('throws when there is no text', async () => {
  await expect(read({ '.hidden': 'no' })).rejects.toThrow(/contains no readable text\.$/);
});

test('cuts text without losing a word, exceeding the limit or splitting a surrogate pair', () => {
  const text = `${'word 😀 '.repeat(500)}\n\n${'😀'.repeat(1700)}`;
  const chunks = chunksOf(text);
  expect(chunks.join('').replace(/\s/gu, '')).toBe(text.replace(/\s/gu, ''));
  expect(chunks.every((chunk) => Array.from(chunk).length <= 800 && chunk.isWellFormed())).toBe(true);
  expect(chunks.slice(0, 4).every((chunk) => /^(word 😀\s?|😀 ?)+(word)?$/u.test(chunk))).toBe(true);
  expect(chunksOf(' \n ')).toEqual([]);
});

test('embeds texts that share words closer together than texts that do not', () => {
  const similarity = (a: string, b: string): number => {
    const other = embed(b);
    return embed(a).reduce((sum, value, i) => sum + value * other[i]!, 0);
  };
  const text = 'Replication keeps a full copy on every node';
  expect(similarity(text, 'replication  KEEPS a full\ncopy on every node')).toBeCloseTo(1, 5);
  expect(similarity(text, 'a copy is kept on every node by replication')).toBeGreaterThan(
    similarity(text, 'Bananas ripen quickly in warm weather') + 0.2,
  );
  expect(embed('').every(Number.isFinite)).toBe(true);
});
