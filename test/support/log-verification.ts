// A node of known content, and a log, for tests of the verification against the log.

import type { NodeClient } from '../../src/chroma/client/node-client.ts';
import type { NodeResponse } from '../../src/chroma/client/node-request.ts';
import type { Entry } from '../../src/log/entry.ts';
import { LogVerifier, type LogVerifierOptions } from '../../src/repair/log-verifier.ts';
import type { AssignedShard } from '../../src/replication/checkpoints.ts';
import type { Decision } from '../../src/replication/decisions.ts';
import { impatientClock } from './impatient-clock.ts';

export const SHARD = '00000000-0000-4000-8000-000000000001';
export const ASSIGNED: AssignedShard = {
  physical: 'p1',
  tenant: 't',
  database: 'd',
  name: 'made',
  fromLSN: 0,
  copy: 0,
  suspect: null,
};

export interface HeldRecord {
  readonly id: string;
  readonly document?: string;
  readonly embedding?: readonly number[];
}

export const entry = (lsn: number, kind: string, body: object, header = '{}'): Entry => ({
  lsn,
  kind,
  target: SHARD,
  header,
  body: Buffer.from(JSON.stringify(body)),
  batch: 'b',
  appendedAt: 0,
});
export const put = (lsn: number, id: string, document: string, kind = 'upsert'): Entry =>
  entry(lsn, kind, { ids: [id], embeddings: [[3, 4]], documents: [document] });

interface FakeContent {
  /** Checkpoint in its marker. */
  readonly marker: number;
  /** Number of the last complete copy in its marker. */
  readonly copies?: number;
  readonly records: readonly HeldRecord[];
  /** The distance of the nearest record found by a query. */
  readonly nearest?: number;
  readonly getStatus?: number;
  /** Physical ids of its collections by name. */
  readonly names?: Readonly<Record<string, string>>;
}

function clientOf({
  marker,
  copies = 0,
  records,
  nearest = 0,
  getStatus = 200,
  names = {},
}: FakeContent): NodeClient {
  const respond = (status: number, body: unknown): NodeResponse => ({
    status,
    headers: {},
    body: Buffer.from(JSON.stringify(body)),
  });
  const identity = {
    cluster: 'c',
    node: 'n',
    incarnation: 'i',
    log: 'l',
    token: 't',
    checkpoint: marker,
    copies,
  };
  const read = async ({ path, body }: { path: string; body?: unknown }): Promise<NodeResponse> => {
    if (path.endsWith('/marker')) return respond(200, { id: 'm', metadata: identity });
    if (path.endsWith('/count')) return respond(200, records.length);
    if (path.endsWith('/query')) return respond(200, { ids: [['x']], distances: [[nearest]] });
    if (path.endsWith('/get')) {
      const { ids, limit } = JSON.parse(String(body)) as { ids?: string[]; limit?: number };
      const wanted = ids === undefined ? null : new Set(ids);
      const found = records.filter(({ id }) => wanted?.has(id) ?? true).slice(0, limit);
      return respond(getStatus, {
        ids: found.map(({ id }) => id),
        documents: found.map(({ document }) => document ?? null),
        embeddings: found.map(({ embedding }) => embedding ?? [3, 4]),
      });
    }
    const id = names[path.split('/').at(-1)!];
    return id === undefined ? respond(404, { error: 'NotFoundError', message: '' }) : respond(200, { id });
  };
  return { read } as unknown as NodeClient;
}

export interface VerifiedNode {
  readonly failure: { contentLost: boolean; reason: string } | null;
  readonly suspects: readonly string[];
  readonly minServingLSN: number | null;
}

function decisionsOf(decided: readonly Decision[]): LogVerifierOptions['decisions'] {
  const find = (lsn: number): Decision | null => decided.find((each) => each.lsn === lsn) ?? null;
  return {
    find: async (lsn) => find(lsn),
    exception: find,
    isQuarantined: (lsn) => find(lsn)?.outcome === 'quarantined',
    // One id a page.
    async *idPages({ body }) {
      for (const id of JSON.parse(body.toString()) as string[]) yield [id];
    },
  };
}

export const decision = (lsn: number, outcome: Decision['outcome'], body: unknown): Decision => ({
  lsn,
  outcome,
  status: 200,
  body: Buffer.from(JSON.stringify(body)),
  pages: 0,
  generation: 1,
});

/** Verifies `node`, whose checkpoint is `checkpoint`, against a log of these entries. */
export async function verifyNode(
  node: FakeContent,
  checkpoint: number,
  log: readonly Entry[],
  decided: readonly Decision[] = [],
  { assigned = ASSIGNED, aside = '', sentTo = Infinity } = {},
): Promise<VerifiedNode> {
  const suspects: string[] = [];
  let minServingLSN: number | null = null;
  const verifier = new LogVerifier({
    client: clientOf(node),
    clock: impatientClock,
    checkpoint: async () => checkpoint,
    assigned: async () => new Map([[SHARD, assigned]]),
    log: { read: async (after, max) => log.filter(({ lsn }) => lsn > after && lsn <= after + max) },
    head: async () => log.at(-1)?.lsn ?? 0,
    onDamaged: () => undefined,
    decisions: decisionsOf(decided),
    roundEntriesMax: 100,
    sentTo: () => sentTo,
    markSuspect: async (_shard, reason) => void suspects.push(reason),
    onVerified: (lsn) => (minServingLSN = lsn),
    isAside: async (physical) => physical === aside,
  });
  return { failure: await verifier.verify(), suspects, minServingLSN };
}

export const LOG = [
  put(1, 'a', 'one'),
  put(2, 'b', 'two'),
  put(3, 'a', 'three'),
  entry(4, 'delete', { ids: ['b'] }),
];
