// What every gateway must know of the cluster, read from PostgreSQL in one snapshot (R16).

import type { Database } from '../postgres/database.ts';

/** A node as the gateway that leads has recorded it. */
export interface RecordedNode {
  readonly id: string;
  /** How often it began again without content: the checkpoint is that of this beginning. */
  readonly resets: number;
  readonly drained: boolean;
  readonly counts: boolean;
  readonly checkpoint: number;
  readonly markerLSN: number;
  readonly state: string;
  readonly reason: string | null;
  /** The epoch of the term in which the state was recorded. */
  readonly stateEpoch: number;
  /** A long call that was announced for it may still be running. */
  readonly isBusy: boolean;
}

export interface ClusterSnapshot {
  /** LSN of the last entry of the log. */
  readonly head: number;
  /** Changes with everything that gateways share: nodes, catalog, copies, suspicions, decisions. */
  readonly view: number;
  /** Of the PostgreSQL server: one that was promoted may number other changes with the same views. */
  readonly timeline: number;
  /** The view number of the last decision that nodes apply an entry in part or not at all. */
  readonly exceptions: number;
  /** LSN of the last entry whose outcome a node decided, and which may be acknowledged before the checkpoint says so. */
  readonly decided: number;
  /** Why the log is known to have lost its last entries; null while it has not. */
  readonly rewound: string | null;
  readonly primary: string | null;
  readonly primaryGeneration: number;
  readonly epoch: number;
  readonly holder: string | null;
  readonly renewal: number;
  /** Other registered gateways that were seen lately. */
  readonly otherGateways: number;
  /** The highest number that another gateway has registered under. */
  readonly newestGateway: number;
  readonly nodes: readonly RecordedNode[];
}

/** Reads the state for one gateway; another one that was not seen for `expiryMs` is not counted. */
export class ClusterSnapshots {
  readonly #database: Database;
  readonly #gatewayId: string;
  readonly #expiryMs: number;

  constructor(database: Database, gatewayId: string, expiryMs: number) {
    this.#database = database;
    this.#gatewayId = gatewayId;
    this.#expiryMs = expiryMs;
  }

  async read(): Promise<ClusterSnapshot> {
    const s = this.#database.schema;
    const [row] = await this.#database.query(
      `select h.lsn as head, h.view, h.exceptions, h.rewound, h.primary_node as primary,
         h.primary_generation as "primaryGeneration", ${s}.timeline() as timeline, l.epoch, l.holder, l.renewal,
         (select coalesce(max(lsn), 0) from ${s}.decision) as decided,
         (select count(*)::int from ${s}.gateway
            where id <> $2 and seen_at > clock_timestamp() - $1::float8 * interval '1 ms') as "otherGateways",
         (select coalesce(max(number), 0) from ${s}.gateway where id <> $2) as "newestGateway",
         (select coalesce(json_agg(json_build_object('id', id, 'resets', resets, 'drained', drained, 'counts', counts,
              'checkpoint', checkpoint, 'markerLSN', marker_lsn, 'state', state, 'reason', reason,
              'stateEpoch', state_epoch,
              'isBusy', coalesce(busy_lsn > checkpoint and busy_until > clock_timestamp(), false))), '[]')
            from ${s}.node where not removed) as nodes
       from ${s}.head h, ${s}.lease l`,
      [this.#expiryMs, this.#gatewayId],
    );
    return row as unknown as ClusterSnapshot;
  }
}
