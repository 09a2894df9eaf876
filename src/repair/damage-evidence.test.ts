import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { damageEvidence } from './damage-evidence.ts';

const MALFORMED = '{"error":"InternalError","message":"(code: 11) database disk image is malformed"}';
const FULL = '{"error":"InternalError","message":"(code: 13) database or disk is full"}';
const COMPACTION = '{"error":"InternalError","message":"Failed to apply logs to the metadata segment"}';

async function evidence(responses: readonly (readonly [number, string])[]): Promise<string | null> {
  const left = [...responses];
  const client: Pick<NodeClient, 'read'> = {
    read: async () => {
      const [status, body] = left.shift()!;
      return { status, body: Buffer.from(body), headers: {} };
    },
  };
  const copies = responses.map((_, index) => ({ tenant: 't', database: 'd', physical: `c${index}` }));
  return damageEvidence({ client, copies, clock: new ManualClock() });
}

test('finds damage that the server reports for any of its copies', async () => {
  expect(
    await evidence([
      [200, '{}'],
      [500, COMPACTION],
      [500, MALFORMED],
    ]),
  ).toBe(MALFORMED);
});

test('finds none on a full disk, nor in content that reads like it', async () => {
  expect(
    await evidence([
      [500, COMPACTION],
      [500, FULL],
      [200, MALFORMED],
    ]),
  ).toBeNull();
});
