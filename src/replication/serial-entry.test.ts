import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import type { Term } from '../coordination/term.ts';
import { Notifier } from '../util/notifier.ts';
import { DecisionWait, type DecisionWaitOptions } from './decision-wait.ts';
import type { Decision, Ruling } from './decisions.ts';
import type { Call } from './delivery.ts';
import type { SchemaOperation } from '../chroma/protocol/operation.ts';
import { Positions } from './positions.ts';
import { SerialEntries, type SerialEntriesOptions } from './serial-entry.ts';

const LSN = 3;
/** What the node lists of its collections. */
let listed: { status: number; collections: readonly object[] };

beforeEach(() => {
  listed = { status: 200, collections: [{ id: 'p', name: 'plums', metadata: null }] };
});

const term: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

interface Applied {
  readonly decision: Partial<Decision> | undefined;
  /** Shards made suspect on this node. */
  readonly suspects: readonly string[];
  /** Entries taken off the record of failed attempts. */
  readonly cleared: readonly number[];
  /** How it was made certain that the entry has no effect. */
  readonly steps: readonly string[];
}

/** What comes of an operation that the node responds to so; `resolution`: the arbiter's, when it has failed before. */
async function applied(
  operation: SchemaOperation,
  { status, body }: { status: number; body: object },
  resolution: 'offer' | 'ended' | 'suspect' | null = null,
): Promise<Applied> {
  const recorded: Ruling[] = [];
  const [suspects, cleared, steps]: [string[], number[], string[]] = [[], [], []];
  const response: NodeResponse = { status, headers: {}, body: Buffer.from(JSON.stringify(body)) };
  const delivery = {
    call: async ({ isFinal }: Call) => {
      if (status >= 300 && !isFinal(response)) throw new Error('it would be repeated');
      return response;
    },
    settled: async () => void steps.push('settled'),
  };
  const waits = new DecisionWait({
    node: 'a',
    clock: new ManualClock(),
    decisions: {
      recorded: new Notifier(),
      find: async () => null,
      record: async (_by: unknown, lsn: number, ruling: Ruling) => (
        recorded.push(ruling),
        { lsn, ...ruling }
      ),
    },
    primary: () => ({ node: 'a', generation: 1 }),
    primaryChanged: new Notifier(),
    onTrouble: (error: Error) => {
      throw error;
    },
  } as unknown as DecisionWaitOptions);
  const attempts = new Map(resolution === null ? [] : [['a', {}]]);
  const serial = new SerialEntries({
    node: 'a',
    delivery,
    reads: {
      read: async () => {
        steps.push('read');
        return {
          status: listed.status,
          headers: {},
          body: Buffer.from(JSON.stringify(listed.collections)),
        };
      },
    },
    waits,
    arbiter: { resolve: async () => resolution },
    trials: {
      of: () => attempts,
      isOpen: () => resolution !== null,
      applied: (lsns: readonly number[]) => void cleared.push(...lsns),
    },
    positions: new Positions(() => false),
    stepDown: () => false,
    suspect: async (shard: string) => void suspects.push(shard),
    isAside: async () => false,
    holdsAside: async () => false,
  } as unknown as SerialEntriesOptions);
  const entry = {
    lsn: LSN,
    kind: operation.type,
    target: null,
    header: '{}',
    body: Buffer.alloc(0),
    batch: 't',
    appendedAt: 0,
  };
  const assigned = new Map([
    ['s', { physical: 'p', tenant: 't', database: 'd', name: 'n', fromLSN: 0, copy: 0, suspect: null }],
  ]);
  await serial.apply(entry, operation, assigned, term);
  return { decision: recorded[0], suspects, cleared, steps };
}

const operations: readonly SchemaOperation[] = [
  { type: 'create_tenant', tenant: 'orchard' },
  { type: 'create_database', id: 'd', tenant: 'default_tenant', database: 'pears' },
];

const EXISTS = { status: 409, body: { error: 'ChromaError', message: 'it already exists' } };
const INVALID = { status: 400, body: { error: 'InvalidArgumentError', message: 'no' } };

test.each(operations)(
  'accepts a $type that is repeated after a crash: what exists is its own',
  async (operation) => {
    const { decision } = await applied(operation, EXISTS);
    expect(decision).toMatchObject({ outcome: 'accepted', status: 200 });
  },
);

test.each(operations)('refuses a $type when the primary refuses it', async (operation) => {
  const { decision, suspects } = await applied(operation, INVALID);
  expect(decision).toMatchObject({ outcome: 'refused', status: 400 });
  expect(suspects).toEqual([]);
});

describe('an entry that has failed before', () => {
  const RENAME: SchemaOperation = {
    type: 'modify_collection',
    collection: 'c',
    shards: ['s'],
    newName: 'plums',
    body: Buffer.from('{"new_name":"plums"}'),
  };
  const DONE = { status: 200, body: {} };

  test('is sent again and cleared when the arbiter offers it', async () => {
    const { decision, cleared } = await applied(operations[0]!, DONE, 'offer');
    expect(decision).toMatchObject({ outcome: 'accepted' });
    expect(cleared).toEqual([LSN]);
  });

  test('is not sent when it has ended, and a collection that it may have changed is suspect', async () => {
    const { decision, suspects } = await applied(RENAME, DONE, 'ended');
    expect(decision).toBeUndefined();
    expect(suspects).toEqual(['s']);
  });

  test('leaves a collection in use that shows that it was not changed', async () => {
    listed.collections = [{ id: 'p', name: 'pears', metadata: null }];
    const { suspects, steps } = await applied(RENAME, DONE, 'ended');
    expect(suspects).toEqual([]);
    // A call of unknown outcome might be executed after the read.
    expect(steps).toEqual(['settled', 'read']);
  });

  test('leaves no collection in use that cannot be read back', async () => {
    listed = { status: 400, collections: [] };
    expect((await applied(RENAME, DONE, 'ended')).suspects).toEqual(['s']);
  });

  test('makes the shard suspect when this node fails what others can apply', async () => {
    const { suspects } = await applied(RENAME, DONE, 'suspect');
    expect(suspects).toEqual(['s']);
  });
});
