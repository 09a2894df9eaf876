import { beforeEach, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { systemClock } from '../util/clock.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { Term } from '../coordination/term.ts';
import { Notifier } from '../util/notifier.ts';
import { ConditionalDelete, selectionBody, type ConditionalDeleteOptions } from './conditional-delete.ts';
import { DecisionWait } from './decision-wait.ts';
import { selectedCount, type Decider, type Decision, type Ruling } from './decisions.ts';
import type { Call } from './delivery.ts';
import { LacksShard } from './node-faults.ts';

const LSN = 9;
const SHARD = 's';
const HELD = { physical: 'p', tenant: 't', database: 'd', name: 'n', fromLSN: 0, copy: 0, suspect: null };
const NOT_FOUND = { status: 404, body: '{"error":"NotFoundError","message":"no such collection"}' };
const term: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

/** Ids of the records that match, in the order of the node. */
let matching: string[];
/** Largest response a read takes, bytes. */
let responseBytesMax: number;
/** How often PostgreSQL fails to return the second page. */
let unreadable: number;
/** What the node responds with to a read instead of its records. */
let refusal: { status: number; body: string } | null;
let deletion: { status: number; body: string };
let selections: { where: unknown; offset: number; limit: number }[];
let deleted: string[][];
/** Pages and decisions in the order they became durable. */
let durable: string[];
let pages: Map<number, string[]>;
let decision: Decision | null;
let isPrimary: boolean;
/** Whether the copy becomes suspect during the selection. */
let becomesSuspect: boolean;

beforeEach(() => {
  matching = [];
  responseBytesMax = 64 * 1024 * 1024;
  unreadable = 0;
  [refusal, decision, isPrimary] = [null, null, true];
  becomesSuspect = false;
  deletion = { status: 200, body: '{}' };
  [selections, deleted, durable, pages] = [[], [], [], new Map()];
});

const response = ({ status, body }: { status: number; body: string }): NodeResponse => ({
  status,
  headers: {},
  body: Buffer.from(body),
});

function deletes(): ConditionalDelete {
  const decisions = {
    recorded: new Notifier(),
    find: async () => decision,
    record: async ({ generation }: Decider, lsn: number, ruling: Ruling) => {
      durable.push('decision');
      decision = { lsn, generation, pages: 0, ...ruling };
      decisions.recorded.notify();
      return decision;
    },
    addPage: async (_by: Decider, _lsn: number, page: number, ids: Buffer) => {
      durable.push(`page ${page}`);
      pages.set(page, JSON.parse(ids.toString()) as string[]);
      return true;
    },
    async *idPages(made: Decision, from = 0) {
      if (made.pages === 0) yield JSON.parse(made.body.toString()) as string[];
      for (let page = from; page < made.pages; page++) {
        if (page === 1 && unreadable-- > 0) throw new Error('canceling statement due to statement timeout');
        yield pages.get(page)!;
      }
    },
  };
  const reads = {
    read: async ({ body, responseBytesMax: own = Infinity }: { body: Buffer; responseBytesMax?: number }) => {
      const { where, offset, limit } = JSON.parse(body.toString());
      selections.push({ where, offset, limit });
      if (refusal !== null) return response(refusal);
      const found = JSON.stringify({ ids: matching.slice(offset, offset + limit) });
      if (found.length > Math.min(responseBytesMax, own))
        throw new NodeError('too_large', 'too large', { sent: true });
      return response({ status: 200, body: found });
    },
  };
  const delivery = {
    call: async ({ request, isFinal }: Call) => {
      const found = response(deletion);
      if (deletion.status >= 300 && !isFinal(found)) throw new Error('it would be repeated');
      durable.push('deletion');
      deleted.push((JSON.parse(String((request.body as Buffer[])[0])) as { ids: string[] }).ids);
      return found;
    },
  };
  const waits = new DecisionWait({
    node: 'a',
    clock: new ManualClock(),
    decisions,
    primary: () => ({ node: isPrimary ? 'a' : 'b', generation: 4 }),
    primaryChanged: new Notifier(),
    onNotPrimary: () => undefined,
    onTrouble: (error) => {
      throw error;
    },
  });
  const limits = (): { maxIds: number; maxBytes: number } => ({ maxIds: 5_000, maxBytes: 1e6 });
  return new ConditionalDelete({
    node: 'a',
    positions: { sending: () => undefined },
    delivery,
    reads,
    waits,
    decisions,
    stored: { removalWork: async () => 0 },
    isKnownSuspect: () => becomesSuspect && selections.length > 0,
    limits,
    clock: systemClock,
    onTrouble: () => undefined,
  } as unknown as ConditionalDeleteOptions);
}

const LEVEL = { ...CHROMA_1_0_5, deleteLimit: true };
const callOf = (body: object): RecordCall =>
  scanRecordCall('delete', Buffer.from(JSON.stringify(body)), LEVEL) as RecordCall;
const apply = (
  body: object = { where: { n: 1 } },
  assigned = HELD as typeof HELD | (Omit<typeof HELD, 'suspect'> & { suspect: string }),
): Promise<Decision> =>
  deletes().apply(LSN, { type: 'records', shard: SHARD, call: callOf(body) }, assigned, term);
const ids = (count: number, length = 8): string[] =>
  Array.from({ length: count }, (_, n) => String(n).padStart(length, 'x'));

describe('the selection', () => {
  test('is made in pages that grow while responses are small, until a page is not full', async () => {
    matching = ids(2_000);
    const made = await apply();
    expect(selections.map(({ offset, limit }) => [offset, limit])).toEqual([
      [0, 512],
      [512, 1_024],
      [1_536, 2_048],
    ]);
    expect(made).toMatchObject({ outcome: 'accepted', pages: 0, generation: 4 });
    expect(selectedCount(made)).toBe(2_000);
    expect(deleted.flat()).toEqual(matching);
  });

  test('is stored in pages beside the decision when it is large, and before any record is deleted', async () => {
    matching = ids(30_000, 20);
    const made = await apply();
    expect(made.pages).toBe(pages.size);
    expect(made.pages).toBeGreaterThan(2);
    expect(selectedCount(made)).toBe(30_000);
    const stored = [...pages.keys()].map((page) => `page ${page}`);
    expect(durable.slice(0, stored.length + 1)).toEqual([...stored, 'decision']);
    expect(new Set(durable.slice(stored.length + 1))).toEqual(new Set(['deletion']));
    expect(deleted.flat()).toEqual(matching);
    expect(Math.max(...deleted.map((each) => each.length))).toBeLessThanOrEqual(5_000);
  });

  test('deletes no record twice when PostgreSQL fails to return a page', async () => {
    matching = ids(9_000, 20);
    unreadable = 1;
    await apply();
    expect(deleted.flat()).toEqual(matching);
  });

  test('is halved until it fits when a response is larger than a read takes', async () => {
    matching = ids(1_000, 1_000);
    responseBytesMax = 200_000;
    await apply();
    expect(deleted.flat()).toEqual(matching);
    expect(selections.slice(0, 3).map(({ limit }) => limit)).toEqual([512, 256, 128]);
  });

  test('fails when a single id is larger than a read takes', async () => {
    matching = ids(3, 1_000);
    responseBytesMax = 500;
    await expect(apply()).rejects.toMatchObject({ message: 'too large' });
    expect(selections.at(-1)).toMatchObject({ limit: 1 });
  });

  test('shrinks its pages when ids are long, so that none takes much memory', async () => {
    matching = ids(400, 25_000);
    await apply();
    const [first, ...later] = selections.map(({ limit }) => limit);
    expect([first, ...later.slice(0, 2)]).toEqual([512, 256, 128]);
    expect(Math.max(...later.slice(2)) * 25_000).toBeLessThan(2.1 * 1024 * 1024);
    expect(deleted.flat()).toEqual(matching);
  });

  test('takes as many records as the limit of the delete says', async () => {
    matching = ids(2_000);
    const made = await apply({ where: { n: 1 }, limit: 600 });
    expect(selections.map(({ offset, limit }) => [offset, limit])).toEqual([
      [0, 512],
      [512, 88],
    ]);
    expect(selectedCount(made)).toBe(600);
    expect(deleted.flat()).toEqual(matching.slice(0, 600));
  });

  test('is asked for once when the limit is 0, for the server checks the filter', async () => {
    matching = ids(3);
    expect(selectedCount(await apply({ where: { n: 1 }, limit: 0 }))).toBe(0);
    expect(selections.map(({ limit }) => limit)).toEqual([0]);
    expect(deleted).toEqual([]);
  });

  test('is empty, and nothing is deleted, when no record matches', async () => {
    expect(selectedCount(await apply())).toBe(0);
    expect(deleted).toEqual([]);
  });

  test('repeats the filters of the delete and asks for no columns', () => {
    const call = callOf({ ids: ['a'], where: { n: 1 }, where_document: { $contains: 'x' } });
    expect(JSON.parse(selectionBody(call, 10, 20).toString())).toEqual({
      include: [],
      offset: 10,
      limit: 20,
      ids: ['a'],
      where: { n: 1 },
      where_document: { $contains: 'x' },
    });
  });
});

describe('a delete that the primary cannot select for', () => {
  test("is refused with the server's status and body when the server refuses the selection", async () => {
    refusal = { status: 400, body: '{"error":"InvalidArgumentError","message":"bad filter"}' };
    const made = await apply();
    expect([made.outcome, made.status, String(made.body)]).toEqual(['refused', 400, refusal.body]);
    expect(deleted).toEqual([]);
  });

  test('reports that the shard is missing when the node does not know the collection', async () => {
    refusal = NOT_FOUND;
    await expect(apply()).rejects.toMatchObject({ shards: [SHARD] });
    expect(decision).toBeNull();
  });

  test('is not decided from a suspect shard', async () => {
    await expect(apply({ where: { n: 1 } }, { ...HELD, suspect: 'it differs' })).rejects.toBeInstanceOf(
      LacksShard,
    );
    expect([selections, decision]).toEqual([[], null]);
  });

  test('is not decided from a shard that becomes suspect meanwhile', async () => {
    becomesSuspect = true;
    await expect(apply()).rejects.toBeInstanceOf(LacksShard);
    expect([selections.length, decision]).toEqual([1, null]);
  });
});

describe('a delete that another node has decided', () => {
  const decide = (ruling: Partial<Decision>): void => {
    decision = {
      lsn: LSN,
      outcome: 'accepted',
      status: 200,
      body: Buffer.from('["x","y"]'),
      pages: 0,
      generation: 1,
      ...ruling,
    };
    isPrimary = false;
  };

  test('deletes exactly the recorded ids, and selects nothing itself', async () => {
    decide({});
    matching = ['z'];
    await apply();
    expect([deleted, selections]).toEqual([[['x', 'y']], []]);
  });

  test('deletes nothing when it was refused', async () => {
    decide({ outcome: 'refused', status: 400 });
    expect(await apply()).toMatchObject({ outcome: 'refused' });
    expect(deleted).toEqual([]);
  });

  test('deletes nothing from a suspect shard', async () => {
    decide({});
    await apply({ where: { n: 1 } }, { ...HELD, suspect: 'it differs' });
    expect(deleted).toEqual([]);
  });

  test('reports that the shard is missing when the node does not know the collection', async () => {
    decide({});
    deletion = NOT_FOUND;
    await expect(apply()).rejects.toMatchObject({ shards: [SHARD] });
  });
});
