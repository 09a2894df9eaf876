import fc from 'fast-check';
import { expect, test } from 'vitest';
import { donorOrder, orderChange } from './copy-order.ts';

const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

test('keeps the records that are in order, deletes the others and adds them again at the end', async () => {
  expect(await orderChange(['a', 'b', 'c', 'd'], ['a', 'c', 'd', 'b', 'e'])).toEqual({
    remove: ['b'],
    append: ['b', 'e'],
    kept: 3,
  });
  expect(await orderChange(['a', 'x'], ['a'])).toEqual({ remove: ['x'], append: [], kept: 1 });
});

test('brings any order into any other', async () => {
  const ids = fc.uniqueArray(fc.constantFrom(...IDS), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(ids, ids, async (have, want) => {
      const { remove, append, kept } = await orderChange(have, want);
      const left = have.filter((id) => !remove.includes(id));
      expect([...left, ...append]).toEqual(want);
      expect(left).toHaveLength(kept);
    }),
  );
});

test("derives the donor's order from an earlier read and the ids touched since", async () => {
  const id = fc.constantFrom(...IDS);
  const change = fc.record({ id, kind: fc.constantFrom('upsert', 'delete', 'add') });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(id, { maxLength: 8 }),
      fc.array(change),
      fc.nat(),
      async (start, changes, cut) => {
        // The read may come anywhere within the changes: they all count as touched.
        let records = [...start];
        let before: string[] | null = null;
        const touched = new Map<string, { id: string; wasDeleted: boolean }>();
        const readAt = cut % (changes.length + 1);
        for (const [index, { id: each, kind }] of [...changes, { id: '', kind: '' }].entries()) {
          if (index === readAt) before = [...records];
          if (kind === '') break;
          const isDelete = kind === 'delete';
          if (isDelete) records = records.filter((other) => other !== each);
          else if (!records.includes(each)) records.push(each);
          const wasDeleted = isDelete || touched.get(each)?.wasDeleted === true;
          touched.set(each, { id: each, wasDeleted });
        }
        const inOrder = records.filter((each) => touched.has(each));
        expect(await donorOrder(before!, inOrder, touched)).toEqual(records);
      },
    ),
  );
});
