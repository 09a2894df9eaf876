import { expect, test } from 'vitest';
import type { Entry } from './entry.ts';
import { EntryPublisher } from './entry-publisher.ts';

test('passes entries to its listeners in the given order', () => {
  const seen: string[] = [];
  const names = ['heads', 'records', 'log buffer'];
  const publisher = new EntryPublisher(
    names.map((name) => ({ committed: (entries) => void seen.push(`${name} ${entries.length}`) })),
  );
  publisher.publish([{} as Entry, {} as Entry]);
  expect(seen).toEqual(['heads 2', 'records 2', 'log buffer 2']);
});
