import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecordCache, type RecordSource } from './record-cache.ts';
import { ShardLSNs } from './shard-lsns.ts';

const SHARD = 's';

/** A cache that is notified as the gateway notifies it, and the history of each record to compare it with. */
class World {
  lsn = 10;
  readonly heads = new ShardLSNs(this.lsn);
  isCurrent = true;
  readonly cache: RecordCache;
  readonly #history = new Map<string, { lsn: number; text: string }[]>();

  constructor(bytesMax = 1e6) {
    const { heads, lsn: head } = this;
    this.cache = new RecordCache({ bytesMax, heads, head, isCurrent: () => this.isCurrent });
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

  /** Entries of another gateway. */
  otherGateway(changes: readonly (readonly string[])[]): void {
    for (const ids of changes) this.#change(ids);
    this.heads.raiseAll(this.lsn);
    this.cache.unseen(this.lsn);
  }

  /** Entries of another gateway that are noticed as a gap before an own entry, in the order of app/replication.ts. */
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

  /** Stores what a node responds that had applied `applied` when asked, and `reached` when it responded. */
  store(id: string, applied: number, reached = applied, generation = this.cache.generation): void {
    this.cache.store({ id, documents: this.at(id, reached) }, { shard: SHARD, applied, generation });
  }

  find(id: string, applied: number): string | null {
    return this.cache.find(id, { shard: SHARD, applied, columns: ['documents'] })?.documents ?? null;
  }

  /** Why what is found for such a node may be wrong; null when it is right for every state the node can have responded in. */
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
  | { readonly do: 'other gateway'; readonly changes: string[][] }
  | { readonly do: 'gap'; readonly changes: string[][]; readonly ids: string[] }
  | { readonly do: 'ask'; readonly id: string; readonly back: number }
  | { readonly do: 'respond'; readonly nth: number; readonly ahead: number }
  | { readonly do: 'clear' | 'flood' }
  | { readonly do: 'lead'; readonly isCurrent: boolean };

const changes = fc.array(ids, { minLength: 1, maxLength: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('write' as const), ids, listed: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('write' as const), ids, listed: fc.constant(false) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('other gateway' as const), changes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('gap' as const), changes, ids }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('ask' as const), id, back }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('respond' as const), nth: fc.nat({ max: 3 }), ahead: back }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const) }) },
);

const histories = fc.array(step, { minLength: 20, maxLength: 60 });

/** The first fault in a history; null when there is none. Counts the records found at all in `found`. */
function faultIn(steps: readonly Step[], world: World, found = { count: 0 }): string | null {
  const asked: { id: string; applied: number; generation: number }[] = [];
  for (const one of steps) {
    if (one.do === 'write') world.write(one.ids, one.listed);
    if (one.do === 'flood') world.write(many);
    if (one.do === 'other gateway') world.otherGateway(one.changes);
    if (one.do === 'gap') world.gap(one.changes, one.ids);
    if (one.do === 'clear') world.cache.clear();
    if (one.do === 'lead') world.isCurrent = one.isCurrent;
    if (one.do === 'ask') {
      const applied = Math.max(0, world.lsn - one.back);
      asked.push({ id: one.id, applied, generation: world.cache.generation });
    }
    if (one.do === 'respond' && asked.length > 0) {
      const [request] = asked.splice(one.nth % asked.length, 1);
      const { id: of, applied, generation } = request!;
      world.store(of, applied, Math.min(world.lsn, applied + one.ahead), generation);
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

describe('a record found is right for every state the node may have responded in', () => {
  test('after any history of listed, unlisted and unseen changes, and of late responses', () => {
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

  test('after more changes than are remembered', () => {
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
      'a change by this gateway, then one by another',
      [
        { do: 'write', ids: ['a'], listed: true },
        { do: 'other gateway', changes: [['b'], ['b'], ['a']] },
        { do: 'ask', id: 'a', back: 2 },
        { do: 'respond', nth: 0, ahead: 0 },
      ],
    ],
    [
      'more changes than are remembered, after entries of another gateway',
      [
        { do: 'write', ids: ['b'], listed: true },
        { do: 'other gateway', changes: [['a'], ['a'], ['a']] },
        { do: 'flood' },
        { do: 'ask', id: 'a', back: 3 },
        { do: 'respond', nth: 0, ahead: 0 },
      ],
    ],
    [
      'an own entry behind a gap',
      [
        { do: 'gap', changes: [['a']], ids: ['b'] },
        { do: 'ask', id: 'a', back: 2 },
        { do: 'respond', nth: 0, ahead: 0 },
      ],
    ],
  ])('after %s', (_name, steps) => {
    expect(faultIn(steps, new World())).toBeNull();
  });
});

describe('the checker detects', () => {
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
    ['changes that are not reported', (cache) => (cache.changed = () => undefined)],
    ['entries of other gateways that are not reported', (cache) => (cache.unseen = () => cache.clear())],
    ['entries of other gateways that leave the cache as it is', (cache) => (cache.clear = () => undefined)],
    [
      'unlisted changes treated as none',
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
  test('is found for nodes that have applied its last change, until the next', () => {
    const world = new World();
    const lsn = world.write(['a']);
    world.store('a', lsn - 1);
    expect(world.find('a', lsn)).toBeNull();
    world.store('a', lsn);
    expect([world.find('a', lsn - 1), world.find('a', lsn)]).toEqual([null, `"a of ${lsn}"`]);
    world.write(['b']);
    expect(world.find('a', lsn)).toBe(`"a of ${lsn}"`);
    world.write(['a']);
    expect([world.find('a', lsn), world.find('a', world.lsn)]).toEqual([null, null]);
  });

  test('belongs to its shard', () => {
    const world = new World();
    world.store('a', world.lsn);
    world.cache.changed('another', world.lsn + 1, ['a']);
    world.cache.changed('another', world.lsn + 2, null);
    expect(world.find('a', world.lsn)).not.toBeNull();
    expect(
      world.cache.find('a', { shard: 'another', applied: world.lsn, columns: ['documents'] }),
    ).toBeNull();
  });

  test('combines columns of several responses of one state', () => {
    const { cache } = new World();
    const columns = ['documents', 'metadatas'] as const;
    const at = (applied: number): RecordSource => ({ shard: SHARD, applied, generation: cache.generation });
    const find = (applied: number): unknown => cache.find('a', { shard: SHARD, applied, columns });
    cache.store({ id: 'a', documents: '"x"' }, at(10));
    expect(find(10)).toBeNull();
    cache.store({ id: 'a', metadatas: 'null' }, at(10));
    expect(find(10)).toEqual({ documents: '"x"', metadatas: 'null' });
    cache.changed(SHARD, 11, null);
    cache.store({ id: 'a', metadatas: 'null' }, at(11));
    expect(find(11)).toBeNull();
  });

  test('is not cached while entries are not reported, nor when it was asked for before the cache was cleared', () => {
    const world = new World();
    world.isCurrent = false;
    world.store('a', world.lsn);
    world.isCurrent = true;
    expect(world.find('a', world.lsn)).toBeNull();
    const { generation } = world.cache;
    world.cache.clear();
    world.store('a', world.lsn, world.lsn, generation);
    expect([world.find('a', world.lsn), world.cache.bytes]).toEqual([null, 0]);
  });
});

describe('the cache', () => {
  const AT_START: RecordSource = { shard: SHARD, applied: 10, generation: 0 };

  test('stays within its bytes, and spares used records once', () => {
    const world = new World(100_000);
    for (let n = 0; n < 400; n++) {
      world.cache.store({ id: `r${n}`, documents: `"${'x'.repeat(1_000)}"` }, AT_START);
      world.find('r0', 10);
      expect(world.cache.bytes).toBeLessThanOrEqual(100_000);
    }
    expect([world.find('r0', 10) !== null, world.find('r1', 10)]).toEqual([true, null]);
  });

  test('caches nothing larger than itself, and nothing at all when disabled', () => {
    const small = new World(1_000);
    small.cache.store({ id: 'a', documents: `"${'x'.repeat(2_000)}"` }, AT_START);
    const off = new World(0);
    off.store('a', 10);
    expect([small.cache.bytes, off.cache.bytes, off.cache.isEnabled]).toEqual([0, 0, false]);
    expect([off.find('a', 10), off.cache.missShare(SHARD)]).toEqual([null, 1]);
  });

  test('learns the share of misses of a shard', () => {
    const { cache } = new World();
    expect(cache.missShare(SHARD)).toBe(1);
    cache.countRows(SHARD, 500, 0);
    expect(cache.missShare(SHARD)).toBe(0);
    cache.countRows(SHARD, 250, 250);
    expect(cache.missShare(SHARD)).toBe(0.5);
    expect(cache.counts).toMatchObject({ hits: 500, misses: 250 });
  });
});
