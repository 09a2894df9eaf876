import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecordCache } from './record-cache.ts';
import { ShardLSNs } from './shard-lsns.ts';

const SHARD = 's';

/** A cache as the gateway feeds it, and the truth beside it: what each record was as of each LSN. */
class World {
  lsn = 10;
  readonly heads = new ShardLSNs(this.lsn);
  isTold = true;
  readonly cache: RecordCache;
  readonly #history = new Map<string, { lsn: number; text: string }[]>();

  constructor(bytesMax = 1e6) {
    const { heads, lsn: head } = this;
    this.cache = new RecordCache({ bytesMax, heads, head, isTold: () => this.isTold });
  }

  /** The record's document for a node that has applied `lsn`. */
  at(id: string, lsn: number): string {
    return this.#history.get(id)?.findLast((state) => state.lsn <= lsn)?.text ?? '"at the start"';
  }

  /** An entry that changes these records; `listed`: it says which. */
  write(ids: readonly string[], listed = true): number {
    const lsn = this.#change(ids);
    this.heads.raise(SHARD, lsn);
    this.cache.changed(SHARD, lsn, listed ? ids : null);
    return lsn;
  }

  /** Entries of another gateway, which turn up later: then `seen` is called, with how many more came first. */
  elsewhere(changes: readonly (readonly string[])[]): void {
    for (const ids of changes) this.#change(ids);
    this.heads.raiseAll(this.lsn);
    this.cache.unseen(this.lsn);
  }

  /** The same, found out by a gap before an entry of this gateway's own, in the order of app/gateway.ts. */
  gap(changes: readonly (readonly string[])[], own: readonly string[]): void {
    for (const ids of changes) this.#change(ids);
    const before = this.lsn;
    this.write(own);
    this.heads.raiseAll(before);
    this.cache.unseen(before);
  }

  #change(ids: readonly string[]): number {
    this.lsn += 1;
    for (const id of ids) {
      const history = this.#history.get(id) ?? [];
      history.push({ lsn: this.lsn, text: JSON.stringify(`${id} of ${this.lsn}`) });
      this.#history.set(id, history);
    }
    return this.lsn;
  }

  /** What a node says that had applied `applied`, and by the time it answered `reached`. */
  keep(id: string, applied: number, reached = applied, generation = this.cache.generation): void {
    this.cache.keep(SHARD, id, { documents: this.at(id, reached) }, applied, generation);
  }

  find(id: string, applied: number): string | null {
    return this.cache.find(SHARD, id, applied, ['documents'])?.documents ?? null;
  }

  /** Why what is found for such a node may be untrue; null when it is the truth in every state it can have answered in. */
  fault(id: string, applied: number): string | null {
    const found = this.find(id, applied);
    if (found === null) return null;
    for (let lsn = applied; lsn <= this.lsn; lsn++) {
      if (this.at(id, lsn) !== found) return `${found} for a node at ${applied}, which may be at ${lsn}`;
    }
    return null;
  }
}

const IDS = ['a', 'b', 'c', 'd'];
const id = fc.constantFrom(...IDS);
const ids = fc.uniqueArray(id, { minLength: 1, maxLength: 3 });
const back = fc.oneof(fc.constant(0), fc.nat({ max: 5 }));
const many = Array.from({ length: 16_384 }, (_, n) => `other ${n}`);

type Step =
  | { readonly do: 'write'; readonly ids: string[]; readonly listed: boolean }
  | { readonly do: 'elsewhere'; readonly changes: string[][] }
  | { readonly do: 'gap'; readonly changes: string[][]; readonly ids: string[] }
  | { readonly do: 'ask'; readonly id: string; readonly back: number }
  | { readonly do: 'answer'; readonly nth: number; readonly ahead: number }
  | { readonly do: 'forget' | 'flood' }
  | { readonly do: 'told'; readonly isTold: boolean };

const changes = fc.array(ids, { minLength: 1, maxLength: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('write' as const), ids, listed: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('write' as const), ids, listed: fc.constant(false) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('elsewhere' as const), changes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('gap' as const), changes, ids }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('ask' as const), id, back }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('answer' as const), nth: fc.nat({ max: 3 }), ahead: back }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const) }) },
);

const histories = fc.array(step, { minLength: 20, maxLength: 60 });

/** The first untruth found in a history; null when there is none. Counts what was found at all in `found`. */
function faultIn(steps: readonly Step[], world: World, found = { count: 0 }): string | null {
  const asked: { id: string; applied: number; generation: number }[] = [];
  for (const one of steps) {
    if (one.do === 'write') world.write(one.ids, one.listed);
    if (one.do === 'flood') world.write(many);
    if (one.do === 'elsewhere') world.elsewhere(one.changes);
    if (one.do === 'gap') world.gap(one.changes, one.ids);
    if (one.do === 'forget') world.cache.clear();
    if (one.do === 'told') world.isTold = one.isTold;
    if (one.do === 'ask') {
      const applied = Math.max(0, world.lsn - one.back);
      asked.push({ id: one.id, applied, generation: world.cache.generation });
    }
    if (one.do === 'answer' && asked.length > 0) {
      const [question] = asked.splice(one.nth % asked.length, 1);
      const { id: of, applied, generation } = question!;
      world.keep(of, applied, Math.min(world.lsn, applied + one.ahead), generation);
    }
    for (const each of IDS) {
      for (let applied = Math.max(0, world.lsn - 15); applied <= world.lsn; applied++) {
        const fault = world.fault(each, applied);
        if (fault !== null) return `after ${JSON.stringify(one).slice(0, 80)}: ${fault}`;
        if (world.find(each, applied) !== null) found.count += 1;
      }
    }
  }
  return null;
}

describe('what is found was the truth at every moment the node may have answered', () => {
  test('in any history of changes, listed, unlisted and unseen, and of answers that come late', () => {
    const found = { count: 0 };
    fc.assert(
      fc.property(histories, (steps) => {
        expect(faultIn(steps, new World(), found)).toBeNull();
      }),
      { numRuns: 500 },
    );
    // A cache that never finds anything is never wrong.
    expect(found.count).toBeGreaterThan(1_000);
  });

  test('also when more was changed than is remembered', () => {
    const flooded = fc.oneof(
      { weight: 9, arbitrary: step },
      { weight: 1, arbitrary: fc.constant<Step>({ do: 'flood' }) },
    );
    fc.assert(
      fc.property(fc.array(flooded, { maxLength: 25 }), (steps) => {
        expect(faultIn(steps, new World())).toBeNull();
      }),
      { numRuns: 40 },
    );
  });

  test.each<[string, Step[]]>([
    [
      'a record changed here, and then by another gateway',
      [
        { do: 'write', ids: ['a'], listed: true },
        { do: 'elsewhere', changes: [['b'], ['b'], ['a']] },
        { do: 'ask', id: 'a', back: 2 },
        { do: 'answer', nth: 0, ahead: 0 },
      ],
    ],
    [
      'more changed here than is remembered, after entries of another gateway',
      [
        { do: 'write', ids: ['b'], listed: true },
        { do: 'elsewhere', changes: [['a'], ['a'], ['a']] },
        { do: 'flood' },
        { do: 'ask', id: 'a', back: 3 },
        { do: 'answer', nth: 0, ahead: 0 },
      ],
    ],
    [
      'an entry of its own behind a gap',
      [
        { do: 'gap', changes: [['a']], ids: ['b'] },
        { do: 'ask', id: 'a', back: 2 },
        { do: 'answer', nth: 0, ahead: 0 },
      ],
    ],
  ])('such as %s', (_name, steps) => {
    expect(faultIn(steps, new World())).toBeNull();
  });
});

describe('the checker sees', () => {
  const broken = (spoil: (cache: RecordCache) => void): boolean => {
    const outcome = fc.check(
      fc.property(histories, (steps) => {
        const world = new World();
        spoil(world.cache);
        return faultIn(steps, world) === null;
      }),
      { numRuns: 500 },
    );
    return outcome.failed;
  };

  test.each<[string, (cache: RecordCache) => void]>([
    ['changes that are not made known', (cache) => (cache.changed = () => undefined)],
    ['entries of others that are not made known', (cache) => (cache.unseen = () => cache.clear())],
    ['entries of others that leave what is kept', (cache) => (cache.clear = () => undefined)],
    [
      'unlisted changes taken for none',
      (cache) => {
        const changed = cache.changed.bind(cache);
        cache.changed = (shard, lsn, of) => changed(shard, lsn, of ?? []);
      },
    ],
  ])('%s', (_name, spoil) => {
    expect(broken(spoil)).toBe(true);
  });
});

describe('a record', () => {
  test('is known to nodes that are as far as its last change, until the next', () => {
    const world = new World();
    const lsn = world.write(['a']);
    world.keep('a', lsn - 1);
    expect(world.find('a', lsn)).toBeNull();
    world.keep('a', lsn);
    expect([world.find('a', lsn - 1), world.find('a', lsn)]).toEqual([null, `"a of ${lsn}"`]);
    world.write(['b']);
    expect(world.find('a', lsn)).toBe(`"a of ${lsn}"`);
    world.write(['a']);
    expect([world.find('a', lsn), world.find('a', world.lsn)]).toEqual([null, null]);
  });

  test('is one of its shard', () => {
    const world = new World();
    world.keep('a', world.lsn);
    world.cache.changed('another', world.lsn + 1, ['a']);
    world.cache.changed('another', world.lsn + 2, null);
    expect(world.find('a', world.lsn)).not.toBeNull();
    expect(world.cache.find('another', 'a', world.lsn, ['documents'])).toBeNull();
  });

  test('gathers its columns from several answers, of one state', () => {
    const { cache } = new World();
    const both = ['documents', 'metadatas'] as const;
    cache.keep(SHARD, 'a', { documents: '"x"' }, 10, cache.generation);
    expect(cache.find(SHARD, 'a', 10, both)).toBeNull();
    cache.keep(SHARD, 'a', { metadatas: 'null' }, 10, cache.generation);
    expect(cache.find(SHARD, 'a', 10, both)).toEqual({ documents: '"x"', metadatas: 'null' });
    cache.changed(SHARD, 11, null);
    cache.keep(SHARD, 'a', { metadatas: 'null' }, 11, cache.generation);
    expect(cache.find(SHARD, 'a', 11, both)).toBeNull();
  });

  test('is not kept while nodes may apply what is not made known, nor when it was asked for before all was forgotten', () => {
    const world = new World();
    world.isTold = false;
    world.keep('a', world.lsn);
    world.isTold = true;
    expect(world.find('a', world.lsn)).toBeNull();
    const { generation } = world.cache;
    world.cache.clear();
    world.keep('a', world.lsn, world.lsn, generation);
    expect([world.find('a', world.lsn), world.cache.bytes]).toEqual([null, 0]);
  });
});

describe('the cache', () => {
  test('stays within its bytes; what was found is passed over once', () => {
    const world = new World(100_000);
    for (let n = 0; n < 400; n++) {
      world.cache.keep(SHARD, `r${n}`, { documents: `"${'x'.repeat(1_000)}"` }, 10, 0);
      world.find('r0', 10);
      expect(world.cache.bytes).toBeLessThanOrEqual(100_000);
    }
    expect([world.find('r0', 10) !== null, world.find('r1', 10)]).toEqual([true, null]);
  });

  test('holds nothing that is larger than it, and nothing at all when it is turned off', () => {
    const small = new World(1_000);
    small.cache.keep(SHARD, 'a', { documents: `"${'x'.repeat(2_000)}"` }, 10, 0);
    const off = new World(0);
    off.keep('a', 10);
    expect([small.cache.bytes, off.cache.bytes, off.cache.enabled]).toEqual([0, 0, false]);
    expect([off.find('a', 10), off.cache.missing(SHARD)]).toEqual([null, 1]);
  });

  test('learns how much of a shard is missing', () => {
    const { cache } = new World();
    expect(cache.missing(SHARD)).toBe(1);
    cache.counted(SHARD, 500, 0);
    expect(cache.missing(SHARD)).toBe(0);
    cache.counted(SHARD, 250, 250);
    expect(cache.missing(SHARD)).toBe(0.5);
    expect(cache.counts).toMatchObject({ hits: 500, misses: 250 });
  });
});
