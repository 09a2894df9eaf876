import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { TermOver } from '../coordination/term.ts';
import { fullTextEvidence } from './full-text-evidence.ts';

const METADATA =
  '{"error":"InternalError","message":"Error in compaction: Failed to apply logs to the metadata segment"}';
const FULL = '{"error":"InternalError","message":"(code: 13) database or disk is full"}';

interface Server {
  /** The response to a record with a document, the n-th from 0; null: it is written. */
  readonly document?: (n: number) => string | null;
  /** The response to a change of a document that was written. */
  readonly change?: (kind: 'upsert' | 'delete') => string | null;
  /** Whether the n-th record without one is written. */
  readonly plain?: (n: number) => boolean;
  readonly removes?: boolean;
}

/** What is found on a server, and the collections that are left there. */
async function evidence({
  document = () => METADATA,
  change = () => null,
  plain = () => true,
  removes = true,
}: Server) {
  const names = new Map<string, string>();
  const written = { documents: 0, metadatas: 0 };
  let ids = 0;
  const response = (status: number, text: string) => ({ status, body: Buffer.from(text), headers: {} });
  const client: Pick<NodeClient, 'read' | 'mutate'> = {
    read: async ({ path }) =>
      path.endsWith('/get')
        ? response(200, '{"ids":["record"]}')
        : response(200, JSON.stringify([{ name: 'marker' }, ...[...names.keys()].map((name) => ({ name }))])),
    mutate: async ({ method, path, body, beforeLast }) => {
      beforeLast?.();
      const text = String(body);
      if (path.endsWith('/collections')) {
        const { name } = JSON.parse(text) as { name: string };
        names.set(name, String(ids));
        return response(200, `{"id":"00000000-0000-4000-8000-${String(ids++).padStart(12, '0')}"}`);
      }
      if (method === 'DELETE') {
        if (removes) names.delete(path.split('/').at(-1)!);
        return removes ? response(200, '{}') : response(500, '{}');
      }
      const kind = path.split('/').at(-1);
      if (kind === 'upsert' || kind === 'delete') {
        const said = change(kind);
        return said === null ? response(200, '{}') : response(500, said);
      }
      if (text.includes('"documents"')) {
        const said = document(written.documents++);
        return said === null ? response(201, '{}') : response(500, said);
      }
      return plain(written.metadatas++) ? response(201, '{}') : response(500, METADATA);
    },
  };
  const options = { client, held: () => true, newId: () => `id-${ids}`, clock: new ManualClock() };
  return { found: await fullTextEvidence(options), left: [...names.keys()], options };
}

test('finds damage where every document fails, and every record without one is written', async () => {
  const { found, left } = await evidence({});
  expect(found).toContain('Failed to apply logs to the metadata segment');
  expect(left).toEqual([]);
});

test.each(['upsert', 'delete'] as const)(
  'finds damage where documents are added, and every %s of one fails',
  async (failing) => {
    const change = (kind: string): string | null => (kind === failing ? METADATA : null);
    expect((await evidence({ document: () => null, change })).found).toContain('metadata segment');
  },
);

test.each<[string, Server]>([
  ['documents are written', { document: () => null }],
  ['one of the documents is written', { document: (n) => (n === 2 ? null : METADATA) }],
  ['the disk is full for everything', { plain: () => false }],
  ['the disk is full for larger records', { plain: (n) => n === 0 }],
  ['the disk becomes full at the end', { plain: (n) => n < 3 }],
  ['the server says that its disk is full', { document: () => FULL }],
])('finds none when %s, and leaves nothing behind', async (_, server) => {
  const { found, left } = await evidence(server);
  expect([found, left]).toEqual([null, []]);
});

test('writes nothing more while what it wrote before cannot be removed', async () => {
  const first = await evidence({ removes: false });
  const before = first.left.length;
  expect(await fullTextEvidence(first.options)).toBeNull();
  expect(first.left.length).toBe(before);
});

test('sends nothing once the term is over', async () => {
  const { options } = await evidence({});
  await expect(fullTextEvidence({ ...options, held: () => false })).rejects.toBeInstanceOf(TermOver);
});
