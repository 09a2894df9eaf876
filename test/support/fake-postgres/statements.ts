// The statements that src/ sends, by what is distinctive in their text. Each runs at once and whole, as under the locks
// of a real server. An unknown statement throws: the model must learn it.

import { isDeepStrictEqual } from 'node:util';
import { LongValue } from '../../../src/postgres/long-value.ts';
import { appendContinuing, logContains } from './append.ts';
import { acquireLease, addDecisionPage, checkpoint, decide, setPrimary, swapCopy } from './leading.ts';
import { addNode, introduceNode, isLeading, removeNode, resetNode, seedNodes } from './members.ts';
import { copyStatements } from './copy-statements.ts';
import { gatewayStatements } from './gateway-statements.ts';
import { keyOf, type Tables } from './tables.ts';

export type FakeRow = Readonly<Record<string, unknown>>;

/** What a statement runs on. */
export interface Session {
  readonly tables: Tables;
  readonly values: readonly unknown[];
  readonly timeline: number;
  readonly nowMs: number;
  /** A whole number below `limit`. */
  readonly random: (limit: number) => number;
  readonly newId: () => string;
}

export interface Statement {
  readonly pattern: RegExp;
  readonly run: (session: Session) => readonly FakeRow[];
}

const is = (condition: boolean, row: FakeRow = {}): FakeRow[] => (condition ? [row] : []);

const LOG: readonly Statement[] = [
  {
    pattern: /^select append_continuing\(/,
    run({ tables, values: v, timeline, nowMs }) {
      const last = v[12];
      const bodies = last instanceof LongValue ? Buffer.concat(last.pieces) : (last as Buffer);
      const [known, seen, seenBatch] = v as [number, number, string | null];
      const call = {
        known,
        seen,
        seenBatch,
        token: v[3] as string,
        log: v[4] as string,
        kinds: v[5] as readonly string[],
        targets: v[6] as readonly (string | null)[],
        headers: v[7] as readonly string[],
        dimensions: v[8] as readonly (number | null)[],
        checksums: v[9] as readonly number[],
        lengths: v[10] as readonly number[],
        bodies,
        revision: v[11] as number | null,
      };
      return [{ results: appendContinuing(tables, call, { timeline, nowMs }) }];
    },
  },
  {
    pattern: /^select timeline\(\) as timeline, coalesce/,
    run: ({ tables: { head }, timeline }) => [
      { timeline, isCompared: head.timeline === timeline, rewound: head.rewound },
    ],
  },
  {
    pattern: /^select log_contains\(/,
    run: ({ tables, values: [lsn, token] }) => [
      { found: logContains(tables, lsn as number, token as string | null) },
    ],
  },
  {
    pattern: /^select not log_contains\(/,
    run: ({ tables, values: [lsn, token] }) => [
      { lost: !logContains(tables, lsn as number, token as string | null) },
    ],
  },
  {
    pattern: /^update head set timeline = /,
    run({ tables, values: [epoch, wanted], timeline }) {
      const isTrue =
        tables.head.rewound === null && timeline === wanted && isLeading(tables, epoch as number);
      if (isTrue) tables.setHead({ timeline });
      return is(isTrue);
    },
  },
  {
    pattern: /^update head set rewound = /,
    run({ tables, values: [epoch, lsn, reason, missing, token] }) {
      if (epoch !== null && !isLeading(tables, epoch as number)) return [];
      if (missing !== null && logContains(tables, missing as number, token as string | null)) return [];
      const { rewound, rewound_lsn: known } = tables.head;
      tables.setHead({
        rewound: rewound ?? (reason as string),
        rewound_lsn: Math.max(known ?? 0, lsn as number),
      });
      return [{}];
    },
  },
  {
    pattern: /^select log_id as "logId"/,
    run: ({ tables: { head } }) => [
      {
        logId: head.log_id,
        cluster: head.cluster,
        lsn: head.lsn,
        trimmed: head.trimmed,
        isComplete: head.trimmed === 0,
        view: head.view,
        primary: head.primary_node,
        primaryGeneration: head.primary_generation,
      },
    ],
  },
  {
    pattern: /^select \(select coalesce\(max\(lsn\), greatest/,
    run({ tables, values: [window, kinds, max] }) {
      const after = tables.head.lsn - (window as number);
      const isSchema = (kind: string): boolean => !(kinds as readonly string[]).includes(kind);
      const lsns = [...tables.log.values()].filter(({ lsn, kind }) => lsn > after && isSchema(kind));
      const shards = [...tables.shards.values()].map(({ id, last_lsn: lsn }) => ({ id, lsn }));
      return [
        {
          schema: lsns.length === 0 ? Math.max(0, after) : Math.max(...lsns.map(({ lsn }) => lsn)),
          shards: shards.sort((a, b) => b.lsn - a.lsn).slice(0, max as number),
        },
      ];
    },
  },
  {
    pattern: /^select h\.lsn as head, \(select coalesce\(json_object_agg\(id, last_lsn\)/,
    run({ tables, values: [wanted] }) {
      const found = (wanted as readonly string[]).flatMap((id) => tables.shards.get(id) ?? []);
      return [
        { head: tables.head.lsn, shards: Object.fromEntries(found.map((row) => [row.id, row.last_lsn])) },
      ];
    },
  },
  {
    pattern: /^select lsn, kind, target, header, case when bytes <= \$4/,
    run({ tables, values }) {
      const [after, entriesMax, bytesMax] = values as [number, number, number];
      const rows: FakeRow[] = [];
      let before = 0;
      for (let lsn = after + 1; lsn <= after + entriesMax; lsn++) {
        const row = tables.log.get(lsn);
        if (row === undefined) continue;
        if (before < bytesMax) rows.push({ ...row, bytes: row.body.length });
        before += row.body.length;
      }
      return rows;
    },
  },
  {
    pattern: /^select lsn, kind, target from log where lsn > \$1/,
    run({ tables, values }) {
      const [after, upTo] = values as [number, number];
      const rows: FakeRow[] = [];
      for (let lsn = after + 1; lsn <= upTo; lsn++) {
        const row = tables.log.get(lsn);
        if (row !== undefined) rows.push({ lsn, kind: row.kind, target: row.target });
      }
      return rows;
    },
  },
  {
    pattern: /^select lsn from log where target = \$1 and lsn > \$2/,
    run({ tables, values }) {
      const [target, after, max] = values as [string, number, number];
      const rows = [...tables.log.values()].filter((row) => row.target === target && row.lsn > after);
      return rows.slice(0, max).map(({ lsn }) => ({ lsn }));
    },
  },
  // Trimming drops whole partitions; the model has one, which is never full.
  { pattern: /^select p\.name, p\.next - 1 as last/, run: () => [] },
  {
    pattern: /^delete from append_batch where token in/,
    run({ tables, values: [olderThanMs], nowMs }) {
      for (const [token, { at }] of tables.batches)
        if (at < nowMs - (olderThanMs as number)) tables.batches.delete(token);
      return [];
    },
  },
];

const LEASE: readonly Statement[] = [
  { pattern: /^select epoch, holder, renewal from lease/, run: ({ tables: { lease } }) => [{ ...lease }] },
  {
    pattern: /^select acquire_lease\(/,
    run({ tables, values, random }) {
      const [holder, epoch, renewal] = values as [string, number, number];
      return [{ epoch: acquireLease(tables, [holder, epoch, renewal], random(2 ** 24)) }];
    },
  },
  {
    pattern: /^update lease set renewal = renewal \+ 1 where epoch = \$1 and holder is not null/,
    run({ tables, values: [epoch] }) {
      const { lease } = tables;
      if (lease.epoch !== epoch || lease.holder === null) return [];
      tables.lease = { ...lease, renewal: lease.renewal + 1 };
      return [{ epoch }];
    },
  },
  {
    pattern: /^update lease set holder = null where epoch = \$1/,
    run({ tables, values: [epoch] }) {
      if (tables.lease.epoch === epoch) tables.lease = { ...tables.lease, holder: null };
      return [];
    },
  },
  {
    pattern: /^select checkpoint\(/,
    run({ tables, values: v, nowMs }) {
      const changes = (v[4] as readonly string[]).map((node, i) => ({
        node,
        shard: (v[5] as readonly string[])[i]!,
        physical: (v[6] as readonly (string | null)[])[i] ?? null,
        name: (v[7] as readonly (string | null)[])[i] ?? null,
        lsn: (v[8] as readonly number[])[i]!,
      }));
      const [epoch, nodes, resets, lsns] = v as [number, string[], number[], number[]];
      return [{ begunAgain: checkpoint(tables, { epoch, nodes, resets, lsns, changes }, nowMs) }];
    },
  },
  {
    pattern: /^select d\.lsn, d\.outcome, .* from decide\(/,
    run({ tables, values: v }) {
      const [epoch, node, generation, lsn, outcome, status, body, pages] = v as [
        number,
        string | null,
        number,
        number,
        string,
        number,
        Buffer,
        number,
      ];
      const none = { lsn: null, outcome: null, status: null, body: null, pages: null, generation: null };
      const call = { epoch, node, generation, lsn, outcome, status, body, pages };
      return [{ ...(decide(tables, call) ?? none) }];
    },
  },
  {
    pattern: /^select add_decision_page\(/,
    run: ({ tables, values }) => [
      {
        added: addDecisionPage(tables, values as unknown as Parameters<typeof addDecisionPage>[1]),
      },
    ],
  },
  {
    pattern: /^select ids from decision_page/,
    run({ tables, values }) {
      const [lsn, generation, page] = values as [number, number, number];
      const ids = tables.pages.get(keyOf(lsn, generation, page));
      return ids === undefined ? [] : [{ ids }];
    },
  },
  {
    pattern: /^select lsn, outcome, status, body, pages, generation from decision where outcome in/,
    run: ({ tables }) =>
      [...tables.decisions.values()]
        .filter(({ outcome }) => outcome === 'quarantined' || outcome === 'partly_applied')
        .map((row) => ({ ...row })),
  },
  {
    pattern: /^select lsn, outcome, status, body, pages, generation from decision where lsn = \$1/,
    run({ tables, values: [lsn] }) {
      const row = tables.decisions.get(lsn as number);
      return row === undefined ? [] : [{ ...row }];
    },
  },
  {
    pattern: /^select lsn from quarantine where closed is null/,
    run: ({ tables }) => [...tables.quarantine].filter(([, { closed }]) => !closed).map(([lsn]) => ({ lsn })),
  },
  {
    pattern: /^select set_primary\(/,
    run: ({ tables, values: [epoch, node] }) => [
      { generation: setPrimary(tables, epoch as number, node as string) },
    ],
  },
  {
    pattern: /^select swap_copy\(/,
    run: ({ tables, values, nowMs }) => [
      { swapped: swapCopy(tables, values as unknown as Parameters<typeof swapCopy>[1], nowMs) },
    ],
  },
];

const NODES: readonly Statement[] = [
  {
    pattern: /^select id, url, incarnation, checkpoint, marker_lsn as "markerLSN"/,
    run: ({ tables, nowMs }) =>
      [...tables.nodes.values()]
        .filter(({ removed, incarnation }) => !removed && incarnation !== null)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .map(
          ({
            id,
            url,
            incarnation,
            checkpoint: lsn,
            marker_lsn: markerLSN,
            busy_lsn: busyLSN,
            filling,
            ...row
          }) => {
            const busyMs = Math.max(0, (row.busy_until ?? 0) - nowMs);
            return { id, url, incarnation, checkpoint: lsn, markerLSN, busyLSN, busyMs, filling };
          },
        ),
  },
  {
    pattern: /^select introduce_node\(/,
    run({ tables, values, newId }) {
      const [epoch, id, url, incarnation, checkpointLSN] = values as [number, string, string, string, number];
      const introduced = { epoch, id, url, incarnation, checkpoint: checkpointLSN };
      return [{ done: introduceNode(tables, introduced, newId) }];
    },
  },
  {
    pattern: /^select filling, discard from node/,
    run({ tables, values: [id] }) {
      const row = tables.nodes.get(id as string);
      return row === undefined ? [] : [{ filling: row.filling, discard: row.discard }];
    },
  },
  {
    pattern: /^update node set filling = false, discard = false, marker_lsn/,
    run({ tables, values }) {
      const [epoch, id, lsn] = values as [number, string, number];
      const isOwn = tables.nodes.get(id)?.epoch === epoch;
      if (isOwn)
        tables.setNode(id, { filling: false, discard: false, marker_lsn: lsn, view: tables.nextView() });
      return is(isOwn, { id });
    },
  },
  {
    pattern: /^update node set state = \$3, reason = \$4, state_epoch = \$1 where id = \$2 and epoch = \$1/,
    run({ tables, values }) {
      const [epoch, id, state, reason, resets] = values as [number, string, string, string | null, number];
      const row = tables.nodes.get(id);
      const isOwn = row?.epoch === epoch && row.resets === resets && !row.removed;
      if (isOwn) tables.setNode(id, { state, reason, state_epoch: epoch });
      return is(isOwn, { id });
    },
  },
  {
    pattern: /^update node set busy_lsn = \$3, busy_until/,
    run({ tables, values, nowMs }) {
      const [epoch, id, lsn, forMs] = values as [number, string, number, number];
      const isOwn = tables.nodes.get(id)?.epoch === epoch;
      if (isOwn) tables.setNode(id, { busy_lsn: lsn, busy_until: nowMs + forMs });
      return is(isOwn, { id });
    },
  },
  {
    pattern: /^update node set marker_lsn = greatest/,
    run({ tables, values }) {
      const [epoch, id, lsn, resets] = values as [number, string, number, number];
      const row = tables.nodes.get(id);
      const isOwn = row?.epoch === epoch && row.resets === resets;
      if (isOwn) tables.setNode(id, { marker_lsn: Math.max(row.marker_lsn, lsn) });
      return is(isOwn, { id });
    },
  },
  {
    pattern: /^select h\.view, timeline\(\) as timeline, n\.id, n\.url, n\.incarnation/,
    run({ tables, timeline }) {
      const { view } = tables.head;
      const rows = [...tables.nodes.values()].sort((a, b) => a.position - b.position);
      if (rows.length === 0) return [{ view, timeline, id: null }];
      return rows.map(({ id, url, incarnation, drained, counts, removed, resets, filling }) => ({
        ...{ view, timeline, id, url, incarnation, drained, counts, removed, resets, filling },
      }));
    },
  },
  {
    pattern: /^select view, timeline\(\) as timeline from head/,
    run: ({ tables: { head }, timeline }) => [{ view: head.view, timeline }],
  },
  {
    pattern: /^select seed_nodes\(/,
    run({ tables, values: [ids, urls] }) {
      seedNodes(tables, ids as readonly string[], urls as readonly string[]);
      return [{}];
    },
  },
  {
    pattern: /^select add_node\(/,
    run: ({ tables, values: [id, url] }) => [{ done: addNode(tables, id as string, url as string) }],
  },
  {
    pattern: /^select remove_node\(/,
    run: ({ tables, values: [epoch, id] }) => [{ done: removeNode(tables, epoch as number, id as string) }],
  },
  {
    pattern: /^select reset_node\(/,
    run: ({ tables, values: [epoch, id] }) => [{ done: resetNode(tables, epoch as number, id as string) }],
  },
  {
    pattern: /^update node set url = \$2/,
    run({ tables, values: [id, url, from] }) {
      const row = tables.nodes.get(id as string);
      const hasMoved = row !== undefined && row.url === from && !row.removed;
      if (hasMoved) tables.setNode(row.id, { url: url as string, view: tables.nextView() });
      return is(hasMoved, { id });
    },
  },
  {
    pattern: /^update node set drained = \$2/,
    run({ tables, values: [id, drained] }) {
      const row = tables.nodes.get(id as string);
      const isMember = row !== undefined && !row.removed;
      if (isMember) tables.setNode(row.id, { drained: drained as boolean, view: tables.nextView() });
      return is(isMember, { id });
    },
  },
  {
    pattern: /^update node set counts = true/,
    run({ tables, values: [id] }) {
      const row = tables.nodes.get(id as string);
      if (row?.counts === false) tables.setNode(row.id, { counts: true, view: tables.nextView() });
      return [];
    },
  },
  {
    pattern: /^select capabilities, capability_revision/,
    run: ({ tables: { head } }) => [{ capabilities: head.capabilities, revision: head.capability_revision }],
  },
  {
    pattern: /^update head set capabilities = \$1/,
    run({ tables, values: [level, mayLower, epoch] }) {
      const { lsn, capabilities, capability_revision: before, view } = tables.head;
      const mayStore = mayLower !== true || lsn === 0 || capabilities === null;
      if (!mayStore || !isLeading(tables, epoch as number)) return [];
      const stored = JSON.parse(level as string);
      const isOther = capabilities !== null && !isDeepStrictEqual(capabilities, stored);
      const revision = before + (mayLower === true && isOther ? 1 : 0);
      tables.setHead({ capabilities: stored, capability_revision: revision, view: view + 1 });
      return [{ revision }];
    },
  },
];

const STATEMENTS: readonly Statement[] = [
  ...LOG,
  ...LEASE,
  ...NODES,
  ...copyStatements,
  ...gatewayStatements,
];

/** The statement with this text, normalised: without the schema, and with single spaces. Throws for an unknown one. */
export function statementFor(text: string): Statement {
  const found = STATEMENTS.find(({ pattern }) => pattern.test(text));
  if (found === undefined) throw new Error(`the model of PostgreSQL does not know this statement: ${text}`);
  return found;
}
