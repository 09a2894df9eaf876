import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeResponse } from '../chroma/node-client.ts';
import type { Term } from '../cluster/lease.ts';
import { Notifier } from '../util/notifier.ts';
import type { Decision } from './checkpoints.ts';
import type { Delivery } from './delivery.ts';
import type { SchemaOperation } from './operation.ts';
import { SoloEntries, type SoloContext } from './solo.ts';

const term: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

/** What a primary decides about an operation that its node answers so. */
async function decided(operation: SchemaOperation, status: number, body: object): Promise<Partial<Decision>> {
  const recorded: Decision[] = [];
  const answer: NodeResponse = { status, headers: {}, body: Buffer.from(JSON.stringify(body)) };
  const delivery = {
    call: async (_request: unknown, _lsns: unknown, isFinal: (response: NodeResponse) => boolean) => {
      if (!isFinal(answer)) throw new Error('it would be repeated for ever');
      return answer;
    },
  };
  const context = {
    node: 'a',
    clock: new ManualClock(),
    decisions: {
      recorded: new Notifier(),
      find: async () => null,
      record: async (_by: unknown, decision: Decision) => (recorded.push(decision), decision),
    },
    primary: () => ({ node: 'a', generation: 1 }),
    primaryChanged: new Notifier(),
    onTrouble: (error: Error) => {
      throw error;
    },
  };
  const solo = new SoloEntries(context as unknown as SoloContext, delivery as unknown as Delivery);
  const entry = {
    lsn: 3,
    kind: operation.type,
    target: null,
    header: '{}',
    body: Buffer.alloc(0),
    batch: 't',
    appendedAt: 0,
  };
  await solo.apply(entry, operation, new Map(), term);
  const { outcome, status: told } = recorded[0]!;
  return { outcome, status: told };
}

const operations: readonly SchemaOperation[] = [
  { type: 'create_tenant', tenant: 'orchard' },
  { type: 'create_database', id: 'd', tenant: 'default_tenant', database: 'pears' },
];

test.each(operations)(
  'a $type repeated after a crash is accepted: what is there is its own',
  async (operation) => {
    const exists = { error: 'ChromaError', message: 'it already exists' };
    expect(await decided(operation, 409, exists)).toEqual({ outcome: 'accepted', status: 200 });
  },
);

test.each(operations)('a $type the primary refuses is refused', async (operation) => {
  const invalid = { error: 'InvalidArgumentError', message: 'no' };
  expect(await decided(operation, 400, invalid)).toEqual({ outcome: 'refused', status: 400 });
});
