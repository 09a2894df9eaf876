import { expect, test } from 'vitest';
import type { NodeResponse, ReadRequest, MutateRequest } from '../chroma/client/node-request.ts';
import { TermOver } from '../coordination/term.ts';
import { dropCopy } from './copy-drop.ts';
import type { AsideCopy } from './copy-store.ts';

const PLACE = { tenant: 't', database: 'd', physical: 'p', name: 'notes' };
const COPY: AsideCopy = {
  ...PLACE,
  node: 'a',
  shard: 's',
  state: 'retired',
  fromLSN: 0,
  copy: 0,
  abandoned: null,
  ageMs: 0,
};

const ok = (body = '{}'): NodeResponse => ({ status: 200, headers: {}, body: Buffer.from(body) });

/** Drops a copy of these pages of ids; the mutations that were sent, by method. */
async function drop(pages: (readonly string[])[], held = (): boolean => true): Promise<string[]> {
  const sent: string[] = [];
  await dropCopy(COPY, 1, {
    client: {
      read: async (_request: ReadRequest) => ok(JSON.stringify({ ids: pages.shift() ?? [] })),
      mutate: async ({ method, beforeLast }: MutateRequest) => {
        beforeLast?.();
        sent.push(method);
        return ok();
      },
    },
    copies: { rename: async () => undefined, dropped: async () => void sent.push('forgotten') },
    newId: () => 'id',
    leavesLists: true,
    idsMax: 100,
    held,
    paced: (step) => step(),
  }).catch((error: unknown) => sent.push(error instanceof TermOver ? 'term over' : (error as Error).message));
  return sent;
}

test('a copy gets a name of its own, is emptied, deleted and forgotten', async () => {
  expect(await drop([['x', 'y'], ['z'], []])).toEqual(['PUT', 'POST', 'POST', 'DELETE', 'forgotten']);
});

test('nothing is sent once the drop may not go on', async () => {
  let calls = 0;
  expect(await drop([['x'], ['y'], []], () => ++calls <= 2)).toEqual(['PUT', 'POST', 'term over']);
});

test('a server whose records stay is not asked for ever', async () => {
  const endless = Array.from({ length: 9 }, () => ['x']);
  expect((await drop(endless)).at(-1)).toContain('stay although their deletion succeeds');
});
