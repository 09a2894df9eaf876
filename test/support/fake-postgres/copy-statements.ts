// The statements about the catalog, copies of shards, failed attempts, the scrub and events.

import { isLeading } from './members.ts';
import { refusal } from './refusal.ts';
import type { FakeRow, Statement } from './statements.ts';
import { keyOf, type NodeShardRow, type Tables } from './tables.ts';

/** The row of a copy with where its collection belongs; null when the collection is gone. */
function located(
  tables: Tables,
  row: NodeShardRow,
): (NodeShardRow & { tenant: string; database: string }) | null {
  const collection = tables.collections.get(tables.shards.get(row.shard)?.collection ?? '');
  if (collection === undefined) return null;
  return { ...row, tenant: collection.tenant, database: collection.database };
}

const CATALOG: readonly Statement[] = [
  {
    pattern: /^select taken_lsn as lsn from shard where id = \$1/,
    run({ tables, values: [id] }) {
      const row = tables.shards.get(id as string);
      return row === undefined ? [] : [{ lsn: row.taken_lsn }];
    },
  },
  {
    pattern: /^select \(select view from head\) as view/,
    run({ tables, timeline, values: [since] }) {
      const after = since as number;
      const isNew = ({ view }: { readonly view: number }): boolean => view > after;
      const shardsOf = (id: string): FakeRow[] | null => {
        const shards = [...tables.shards.values()].filter(({ collection }) => collection === id);
        return shards.length === 0 ? null : shards.map((row) => ({ id: row.id, dimension: row.dimension }));
      };
      return [
        {
          view: tables.head.view,
          timeline,
          tenants: [...tables.tenants]
            .filter(([, row]) => isNew(row))
            .map(([name, { deleted }]) => ({ name, deleted })),
          databases: [...tables.databases.values()]
            .filter(isNew)
            .map(({ tenant, name, id, deleted }) => ({ tenant, name, id, deleted })),
          collections: [...tables.collections.values()]
            .filter((row) => isNew(row) && (after > 0 || row.state !== 'deleted'))
            .map(({ id, tenant, database, name, state, created_lsn: createdLSN }) => ({
              ...{ id, tenant, database, name, state, createdLSN, shards: shardsOf(id) },
            })),
          physical: [...tables.nodeShards.values()]
            .filter((row) => isNew(row) && row.state === 'current')
            .map(({ node, shard, physical, name, copy, suspect, view }) => ({
              ...{ node, shard, physical, name, copy, suspect, view },
            })),
        },
      ];
    },
  },
  {
    pattern: /^with gone as \( select c\.id from collection c where c\.state = 'deleted'/,
    run({ tables }) {
      const isNeeded = (shard: { id: string; last_lsn: number }): boolean =>
        shard.last_lsn > tables.head.trimmed ||
        [...tables.nodeShards.values()].some((row) => row.shard === shard.id);
      for (const { id, state } of [...tables.collections.values()]) {
        const shards = [...tables.shards.values()].filter(({ collection }) => collection === id);
        if (state !== 'deleted' || shards.some(isNeeded)) continue;
        tables.collections.delete(id);
        for (const shard of shards) tables.shards.delete(shard.id);
        for (const [key, row] of tables.bodies) if (row.collection === id) tables.bodies.delete(key);
      }
      return [];
    },
  },
  {
    pattern: /^select n\.shard, n\.physical, c\.tenant, c\.database, n\.name, n\.from_lsn/,
    run({ tables, values: [node] }) {
      const rows = [...tables.nodeShards.values()].filter(
        (row) => row.node === node && row.state === 'current',
      );
      return rows
        .flatMap((row) => located(tables, row) ?? [])
        .map(({ shard, physical, tenant, database, name, from_lsn: fromLSN, copy, suspect }) => ({
          ...{ shard, physical, tenant, database, name, fromLSN, copy, suspect },
        }));
    },
  },
  {
    pattern: /^update node_shard set suspect = coalesce\(suspect, \$4\)/,
    run({ tables, values }) {
      const [epoch, node, shard, reason] = values as [number, string, string, string];
      const row = tables.currentCopy(node, shard);
      if (row === null || tables.nodes.get(node)?.epoch !== epoch) return [];
      tables.setNodeShard({ ...row, suspect: row.suspect ?? reason, view: tables.nextView() });
      return [{ physical: row.physical }];
    },
  },
];

/** Throws as the primary key does. */
function requireNew(tables: Tables, node: string, physical: string): void {
  if (tables.nodeShards.has(keyOf(node, physical)))
    throw refusal('23505', 'duplicate key value violates unique constraint "node_shard_pkey"');
}

/** A change of a copy under the epoch of its node's leader. */
function changing(
  tables: Tables,
  [epoch, node]: readonly unknown[],
  matches: (row: NodeShardRow) => boolean,
  change: (row: NodeShardRow) => NodeShardRow | null,
): FakeRow[] {
  if (tables.nodes.get(node as string)?.epoch !== epoch) return [];
  const rows = [...tables.nodeShards.values()].filter((row) => row.node === node && matches(row));
  for (const row of rows) {
    const changed = change(row);
    if (changed !== null && changed.physical !== row.physical)
      requireNew(tables, changed.node, changed.physical);
    tables.nodeShards.delete(keyOf(row.node, row.physical));
    if (changed !== null) tables.setNodeShard(changed);
  }
  return rows.map(() => ({}));
}

const COPIES: readonly Statement[] = [
  {
    pattern: /^select n\.node, n\.shard, n\.physical, n\.name, n\.state, n\.from_lsn/,
    run({ tables, values: [node], nowMs }) {
      const rows = [...tables.nodeShards.values()].filter(
        (row) => row.state !== 'current' && (node === null || row.node === node),
      );
      return rows
        .sort((a, b) => a.since - b.since)
        .flatMap((row) => located(tables, row) ?? [])
        .map(({ from_lsn: fromLSN, since, suspect, view: _view, ...row }) => ({
          ...row,
          fromLSN,
          abandoned: row.state === 'building' ? suspect : null,
          ageMs: nowMs - since,
        }));
    },
  },
  {
    pattern: /^with numbered as \( update node set copies = copies \+ 1/,
    run({ tables, values, nowMs }) {
      const [epoch, node, shard, physical, name] = values as [number, string, string, string, string];
      const row = tables.nodes.get(node);
      if (row?.epoch !== epoch) return [];
      requireNew(tables, node, physical);
      const copy = row.copies + 1;
      tables.setNode(node, { copies: copy });
      const made = { from_lsn: 0, view: 0, suspect: null, state: 'building' as const, since: nowMs };
      tables.setNodeShard({ node, shard, physical, name, copy, ...made });
      return [{ copy }];
    },
  },
  {
    pattern: /^update node_shard set physical = \$4, from_lsn = \$5 where node = \$2 and name = \$3/,
    run: ({ tables, values }) =>
      changing(
        tables,
        values,
        ({ name, state }) => name === values[2] && state === 'building',
        (row) => ({ ...row, physical: values[3] as string, from_lsn: values[4] as number }),
      ),
  },
  {
    pattern:
      /^update node_shard set suspect = \$4 where node = \$2 and physical = \$3 and state = 'building'/,
    run: ({ tables, values }) =>
      changing(
        tables,
        values,
        ({ physical, state }) => physical === values[2] && state === 'building',
        (row) => ({ ...row, suspect: values[3] as string }),
      ),
  },
  {
    pattern: /^update node_shard set name = \$4 where node = \$2 and physical = \$3 and state <> 'current'/,
    run: ({ tables, values }) =>
      changing(
        tables,
        values,
        ({ physical, state }) => physical === values[2] && state !== 'current',
        (row) => ({ ...row, name: values[3] as string }),
      ),
  },
  {
    pattern: /^delete from node_shard where node = \$2 and physical = \$3 and state <> 'current'/,
    run: ({ tables, values }) =>
      changing(
        tables,
        values,
        ({ physical, state }) => physical === values[2] && state !== 'current',
        () => null,
      ),
  },
  {
    pattern: /^update node set marker_copy = greatest\(marker_copy, \$3\) where id = \$2/,
    run({ tables, values }) {
      const [epoch, id, copy] = values as [number, string, number];
      const row = tables.nodes.get(id);
      if (row?.epoch !== epoch) return [];
      tables.setNode(id, { marker_copy: Math.max(row.marker_copy, copy) });
      return [{}];
    },
  },
  {
    pattern: /^select kind, body from collection_body where collection = \$1 order by lsn/,
    run: ({ tables, values: [collection] }) =>
      [...tables.bodies.values()]
        .filter((row) => row.collection === collection)
        .sort((a, b) => a.lsn - b.lsn)
        .map(({ kind, body }) => ({ kind, body })),
  },
  {
    pattern: /^insert into collection_body values \(\$1, \$2, 'create_collection', \$3, false\)/,
    run({ tables, values }) {
      const [collection, lsn, body] = values as [string, number, Buffer];
      const key = keyOf(collection, lsn);
      const row = { collection, lsn, kind: 'create_collection', body, only_metadata: false };
      if (!tables.bodies.has(key)) tables.bodies.set(key, row);
      return [];
    },
  },
];

const ATTEMPTS: readonly Statement[] = [
  {
    pattern: /^select a\.lsn, a\.node, a\.attempts, a\.alone, a\.applied_records/,
    run: ({ tables }) =>
      [...tables.attempts.values()]
        .filter(({ lsn, node }) => {
          const row = tables.nodes.get(node.split(' ')[0]!);
          return row !== undefined && lsn > row.checkpoint;
        })
        .sort((a, b) => a.lsn - b.lsn || (a.node < b.node ? -1 : 1))
        .map(({ applied_records: appliedRecords, ...row }) => ({ ...row, appliedRecords })),
  },
  {
    pattern:
      /^insert into entry_attempt \(lsn, node, attempts, alone, applied_records, kind, status, detail\)/,
    run({ tables, values }) {
      const [epoch, node, lsns, attempts, alone, applied, kind, status, detail] = values as [
        number,
        string,
        number[],
        number[],
        number[],
        number[],
        string,
        number,
        string,
      ];
      if (!isLeading(tables, epoch)) return [];
      for (const [i, lsn] of lsns.entries()) {
        const key = keyOf(lsn, node);
        const old = tables.attempts.get(key);
        const row = { attempts: attempts[i]!, alone: alone[i]!, applied_records: applied[i]! };
        if (old !== undefined && row.applied_records < old.applied_records) continue;
        const goesOn = old !== undefined && row.applied_records === old.applied_records;
        tables.attempts.set(key, {
          ...{ lsn, node, kind, status, detail },
          ...row,
          attempts: goesOn ? Math.max(old.attempts, row.attempts) : row.attempts,
          alone: goesOn ? Math.max(old.alone, row.alone) : row.alone,
        });
      }
      return [];
    },
  },
];

const SCRUB: readonly Statement[] = [
  {
    pattern: /^select started_at as "startedAt", finished_at as "finishedAt", cursor/,
    run({ tables: { scrub }, nowMs }) {
      const {
        started_at: startedAt,
        finished_at: finishedAt,
        requested_at: requestedAt,
        paused,
        ...row
      } = scrub;
      return [
        {
          ...row,
          startedAt: new Date(startedAt),
          finishedAt: finishedAt === null ? null : new Date(finishedAt),
          isPaused: paused,
          isRequested: requestedAt !== null && requestedAt > startedAt,
          idleMs: finishedAt === null ? null : nowMs - finishedAt,
        },
      ];
    },
  },
  {
    pattern: /^update scrub set started_at = clock_timestamp\(\)/,
    run({ tables, values: [epoch], nowMs }) {
      if (!isLeading(tables, epoch as number)) return [];
      const none = { shards: 0, records: 0, uncompared: 0, suspects: 0, skipped: 0 };
      tables.scrub = { ...tables.scrub, started_at: nowMs, finished_at: null, cursor: null, ...none };
      return [{}];
    },
  },
  {
    pattern: /^update scrub set cursor = \$2, shards = shards \+ 1/,
    run({ tables, values }) {
      const [epoch, cursor, records, uncompared, suspects, skipped] = values as [
        number,
        string,
        number,
        number,
        number,
        number,
      ];
      if (!isLeading(tables, epoch)) return [];
      const { scrub } = tables;
      tables.scrub = {
        ...scrub,
        cursor,
        shards: scrub.shards + 1,
        records: scrub.records + records,
        uncompared: scrub.uncompared + uncompared,
        suspects: scrub.suspects + suspects,
        skipped: scrub.skipped + skipped,
      };
      return [{}];
    },
  },
  {
    pattern: /^update scrub set finished_at = clock_timestamp\(\)/,
    run({ tables, values: [epoch], nowMs }) {
      if (!isLeading(tables, epoch as number)) return [];
      tables.scrub = { ...tables.scrub, finished_at: nowMs };
      return [{}];
    },
  },
  {
    pattern: /^update scrub set paused = \$1/,
    run({ tables, values: [paused] }) {
      tables.scrub = { ...tables.scrub, paused: paused as boolean };
      return [];
    },
  },
  {
    pattern: /^update scrub set requested_at = clock_timestamp\(\)/,
    run({ tables, nowMs }) {
      tables.scrub = { ...tables.scrub, requested_at: nowMs };
      return [];
    },
  },
];

const EVENTS: readonly Statement[] = [
  {
    pattern: /^insert into event \(at, level, kind, node, detail\)/,
    run({ tables, values }) {
      tables.events.push(...(values[2] as string[]));
      return [];
    },
  },
];

export const copyStatements: readonly Statement[] = [...CATALOG, ...COPIES, ...ATTEMPTS, ...SCRUB, ...EVENTS];
