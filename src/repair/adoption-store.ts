// Records an adoption in PostgreSQL: the catalog of an empty cluster, and the entry that says so, in one transaction.

import { checksum } from '../log/entry.ts';
import type { Database } from '../postgres/database.ts';
import type { Survey, SurveyedCollection } from './server-survey.ts';

export interface AdoptedNode {
  readonly id: string;
  readonly incarnation: string;
  /** The ids of the collections there, by the ids under which they are adopted. */
  readonly physical: ReadonlyMap<string, string>;
}

export interface AdoptionRecord {
  readonly survey: Survey;
  readonly nodes: readonly AdoptedNode[];
  /** Nodes whose content is removed before they are filled. */
  readonly discard: readonly string[];
}

export interface ClusterState {
  readonly cluster: string;
  /** No entry was ever appended and no server admitted. */
  readonly isFresh: boolean;
  /** Gateway that leads; null when none does. */
  readonly leader: string | null;
}

export class AdoptionStore {
  readonly #database: Database;
  readonly #newId: () => string;

  constructor(database: Database, newId: () => string) {
    this.#database = database;
    this.#newId = newId;
  }

  async state(): Promise<ClusterState> {
    const s = this.#database.schema;
    const [row] = await this.#database.query(
      `select h.cluster, l.holder as leader, h.lsn = 0 and not exists (
         select from ${s}.node where incarnation is not null and not removed) as "isFresh"
       from ${s}.head h, ${s}.lease l`,
    );
    return row as unknown as ClusterState;
  }

  /** Null when it is recorded; otherwise why not: nothing was changed then. */
  async record({ survey, nodes, discard }: AdoptionRecord): Promise<string | null> {
    const shards = new Map(survey.collections.map(({ id }) => [id, this.#newId()]));
    const collections = survey.collections.map(({ body, dimension, id, tenant, database, name }) => ({
      id,
      tenant,
      database,
      name,
      shard: shards.get(id),
      dimension,
      body: body.toString('base64'),
    }));
    const shardsOn = ({ physical }: AdoptedNode): object[] =>
      survey.collections.map(({ id, name }: SurveyedCollection) => ({
        shard: shards.get(id),
        physical: physical.get(id),
        name,
      }));
    const note = `adopted ${survey.collections.length} collections of node ${nodes.map(({ id }) => id).join(', ')}`;
    const header = JSON.stringify({ note });
    const sum = checksum({ kind: 'note', target: null, header, body: Buffer.alloc(0) });
    const [row] = await this.#database.query<{ reason: string | null }>(
      `select ${this.#database.schema}.adopt($1, $2, $3, $4::jsonb, $5, $6::jsonb, $7::jsonb, $8) as reason`,
      [
        this.#newId(),
        header,
        sum,
        JSON.stringify(
          nodes.map((node) => ({ id: node.id, incarnation: node.incarnation, shards: shardsOn(node) })),
        ),
        survey.tenants,
        JSON.stringify(survey.databases),
        JSON.stringify(collections),
        discard,
      ],
    );
    return row?.reason ?? null;
  }
}
