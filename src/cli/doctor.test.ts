import { expect, test } from 'vitest';
import { withoutContent } from './doctor.ts';

test('a bundle has no texts of clients or servers in its reports', () => {
  const status = {
    head: 7,
    nodes: [
      { id: 'a', state: 'down', lastError: 'document "secret" refused', suspects: [{ name: 'secret' }] },
    ],
    failing: { lsn: 3, error: 'secret', attempts: 2 },
    reason: null,
  };
  const copied = withoutContent(status);
  expect(JSON.stringify(copied)).not.toContain('secret');
  expect(copied).toMatchObject({
    head: 7,
    nodes: [{ id: 'a', state: 'down', lastError: '(removed)' }],
    failing: { lsn: 3, attempts: 2 },
    reason: null,
  });
});
