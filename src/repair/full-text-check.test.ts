import { expect, test } from 'vitest';
import { FakeCopy } from '../../test/support/fake-copy.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { distinguishingTexts, fullTextFaults, UNLIMITED } from './full-text-check.ts';

const clock = new ManualClock();

async function faults(copies: Record<string, FakeCopy>, sample: readonly string[] = ['r1', 'r2']) {
  const location = { tenant: 't', database: 'd', physical: 'p' };
  const compared = Object.entries(copies).map(([node, { read }]) => ({ node, location, read }));
  const found = await fullTextFaults(compared, sample, { budget: UNLIMITED, clock });
  return Object.fromEntries([...found].map(([node, list]) => [node, list.map(({ id }) => id)]));
}

/** Records with documents of four words, and one without a document. */
function copy(): FakeCopy {
  const made = new FakeCopy();
  const words = ['red', 'green', 'large', 'small', 'old', 'new'];
  for (let n = 0; n < 300; n++)
    made.put(`r${n}`, {
      document: JSON.stringify(
        [n % 2, 2 + ((n >> 1) % 2), 4 + ((n >> 2) % 2)].map((w) => words[w]).join(' '),
      ),
    });
  made.put('r299', { document: 'null' });
  return made;
}

test('finds nothing on copies without damage', async () => {
  expect(await faults({ a: copy(), b: copy() })).toEqual({});
});

test('finds nothing in documents with a NUL, of which filters see what is before it', async () => {
  const withNul = (): FakeCopy => {
    const made = copy();
    made.put('r1', { document: JSON.stringify('red\0green large zebra') });
    made.put('r2', { document: JSON.stringify('\0small') });
    return made;
  };
  expect(await faults({ a: withNul(), b: withNul() })).toEqual({});
  expect(await faults({ a: withNul() })).toEqual({});
});

test('finds nothing on a copy without documents', async () => {
  const plain = new FakeCopy(400);
  for (const id of plain.records.keys()) plain.put(id, { document: 'null' });
  expect(await faults({ a: plain })).toEqual({});
});

test('finds a record that is in no text of the filters, outside the sample', async () => {
  const a = copy();
  a.filtered.set('r150', null);
  expect(await faults({ a })).toEqual({ a: ['r150'] });
});

test('finds it among many records without a document, on the one copy of two that lacks it', async () => {
  const [a, b] = [new FakeCopy(2_000), new FakeCopy(2_000)];
  for (const made of [a, b])
    for (const id of made.records.keys()) if (id !== 'r777') made.put(id, { document: 'null' });
  b.filtered.set('r777', null);
  expect(await faults({ a, b })).toEqual({ b: ['r777'] });
});

test('finds another text of a record outside the sample by comparing two copies', async () => {
  const [a, b] = [copy(), copy()];
  b.filtered.set('r150', 'another text');
  expect(await faults({ a, b }, ['r0', 'r1', 'r2', 'r3', 'r4', 'r5'])).toEqual({ b: ['r150'] });
});

test('finds another text of a record of the sample on a single copy', async () => {
  const a = copy();
  a.filtered.set('r2', (JSON.parse(a.records.get('r2')!.document) as string).replace('small', 'smalm'));
  expect(await faults({ a })).toEqual({ a: ['r2'] });
});

test('finds that filters fail', async () => {
  const a = copy();
  a.onRead = () => 500;
  expect(await faults({ a })).toEqual({ a: [null] });
});

test.each(['too_large', 'timeout'] as const)('says nothing of reads that end with %s', async (code) => {
  const a = copy();
  a.filtered.set('r2', null);
  a.onRead = () => {
    throw new NodeError(code, code);
  };
  expect(await faults({ a })).toEqual({});
});

test('asks for whole characters of a long document', async () => {
  const a = new FakeCopy();
  a.put('r1', { document: JSON.stringify('😀'.repeat(9_000)) });
  a.put('r2', { document: JSON.stringify(`x${'😀'.repeat(9_000)}`) });
  expect(await faults({ a })).toEqual({});
});

test('chooses a word that all documents contain, and texts that half of them contain', () => {
  const texts = distinguishingTexts(['a red one', 'a red two', 'a blue one', 'a blue two']);
  expect(texts.slice(0, 5)).toEqual(['a', 'red', 'one', 'two', 'blue']);
  expect(distinguishingTexts(['', ''])).toEqual([]);
});
