// What a Chroma server holds that may become a node: every collection of its databases, read once and checked.

import { createHash, type Hash } from 'node:crypto';
import type { NodeClient } from '../chroma/client/node-client.ts';
import {
  collectionRequest,
  countRecordsRequest,
  listCollectionsRequest,
  listDatabasesRequest,
  type NodeRead,
} from '../chroma/protocol/node-requests.ts';
import { RESERVED } from '../chroma/client/identity.ts';
import type { ReportProgress } from '../util/progress.ts';
import { creationBodyOf, isCosine, membersOf } from './copy-bodies.ts';
import { readIds, readPages, type ReadCopy, type StoredRecord } from './copy-content.ts';
import { indexFault } from './shard-check.ts';

/** A collection as a server holds it. */
export interface SurveyedCollection {
  readonly tenant: string;
  readonly database: string;
  readonly id: string;
  readonly name: string;
  readonly dimension: number | null;
  readonly records: number;
  /** The body of a create that makes one like it. */
  readonly body: Buffer;
  readonly isCosine: boolean;
}

export interface SurveyedDatabase {
  readonly tenant: string;
  readonly name: string;
  readonly id: string;
}

export interface Survey {
  readonly tenants: readonly string[];
  readonly databases: readonly SurveyedDatabase[];
  readonly collections: readonly SurveyedCollection[];
  readonly records: number;
  /** What prevents an adoption, one sentence each. */
  readonly hazards: readonly string[];
}

/** A fingerprint of a collection's records and their order. */
export type ContentDigest = string;

const DEADLINE_MS = 30_000;
const BYTES_MAX = 64 * 1024 * 1024;

type SurveyedServer = Pick<NodeClient, 'read'>;

/** Lists what the server holds in these tenants; other tenants cannot be listed. Throws NodeError, Error. */
export async function surveyServer(client: SurveyedServer, tenants: readonly string[]): Promise<Survey> {
  const databases: SurveyedDatabase[] = [];
  const collections: SurveyedCollection[] = [];
  const hazards: string[] = [];
  for (const tenant of tenants) {
    if (tenant === RESERVED.tenant) {
      hazards.push(`the tenant "${tenant}" is reserved for Polychrome`);
      continue;
    }
    const found = (await readJSON(client, listDatabasesRequest(tenant))) as { id: string; name: string }[];
    for (const { id, name } of found) databases.push({ tenant, name, id });
  }
  for (const { tenant, name: database } of databases) {
    const place = { tenant, database };
    const listed = (await readJSON(client, listCollectionsRequest(place))) as Listed[];
    for (const { id, name, dimension } of listed) {
      const where = `${tenant}/${database}/${name}`;
      const object = await readBody(client, collectionRequest(place, name));
      const body = creationBodyOf(object);
      const count = await client.read({
        ...countRecordsRequest({ ...place, physical: id }),
        deadlineMs: DEADLINE_MS,
      });
      if (body === null || count.status !== 200) {
        hazards.push(
          `the collection ${where} cannot be read (HTTP ${count.status}): repair or delete it first`,
        );
        continue;
      }
      const records = Number(count.body.toString());
      collections.push({
        ...place,
        id,
        name,
        dimension: dimension ?? null,
        records,
        body,
        isCosine: isCosine(object),
      });
    }
  }
  const records = collections.reduce((sum, collection) => sum + collection.records, 0);
  return { tenants, databases, collections, records, hazards };
}

/** Reads every record once and searches each index; what is wrong, and a fingerprint of each collection. */
export async function readEverything(
  client: SurveyedServer,
  { collections, records }: Survey,
  report: ReportProgress,
): Promise<{ readonly hazards: readonly string[]; readonly digests: ReadonlyMap<string, ContentDigest> }> {
  const hazards: string[] = [];
  const digests = new Map<string, ContentDigest>();
  let done = 0;
  for (const collection of collections) {
    const { tenant, database, name, id } = collection;
    const where = `${tenant}/${database}/${name}`;
    const location = { tenant, database, physical: id };
    try {
      const ids = await readIds(readerOf(client), location);
      const hash = createHash('sha256');
      let found = 0;
      for await (const page of readPages(readerOf(client), location, ids)) {
        found += page.records.length;
        for (const record of page.records) addTo(hash, record);
        done += page.ids.length;
        report({ phase: `reading ${name}`, done, total: records, unit: 'records' });
      }
      digests.set(id, hash.digest('hex'));
      const fault =
        found === ids.length
          ? await indexFault((request) => client.read({ ...request, deadlineMs: DEADLINE_MS }), location)
          : `lists ${ids.length} records and returns ${found}`;
      if (fault !== null) hazards.push(`the collection ${where} is damaged: ${fault}`);
    } catch (error) {
      hazards.push(`the collection ${where} cannot be read: ${(error as Error).message}`);
    }
  }
  return { hazards, digests };
}

/** The first difference between a survey with its fingerprints and the server as it is now; null when there is none. */
export async function changeSince(
  client: SurveyedServer,
  { survey, digests }: { survey: Survey; digests: ReadonlyMap<string, ContentDigest> },
  report: ReportProgress,
): Promise<string | null> {
  const now = await surveyServer(client, survey.tenants);
  const keyOf = ({ tenant, database, name, id }: SurveyedCollection): string =>
    JSON.stringify([tenant, database, name, id]);
  const before = new Set(survey.collections.map(keyOf));
  const after = new Set(now.collections.map(keyOf));
  for (const each of [...survey.collections, ...now.collections])
    if (!before.has(keyOf(each)) || !after.has(keyOf(each)))
      return `the collection ${each.tenant}/${each.database}/${each.name} came, went or was renamed`;
  const again = await readEverything(client, now, report);
  for (const { tenant, database, name, id } of survey.collections)
    if (again.digests.get(id) !== digests.get(id)) return `records of ${tenant}/${database}/${name} changed`;
  return null;
}

export function readerOf(client: SurveyedServer): ReadCopy {
  return (request) => client.read({ ...request, deadlineMs: DEADLINE_MS });
}

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly dimension?: number | null;
}

/** Keys of metadata come in another order with each response. */
function addTo(hash: Hash, { id, embedding, document, uri, metadata }: StoredRecord): void {
  const members = membersOf(metadata).sort((a, b) => (a.name < b.name ? -1 : 1));
  const parts = [Buffer.from(id), embedding, document, uri];
  for (const { name, value } of members) parts.push(Buffer.from(name), value);
  for (const part of parts) hash.update(`${part.length}:`).update(part);
}

async function readJSON(client: SurveyedServer, request: NodeRead): Promise<unknown> {
  return JSON.parse((await readBody(client, request)).toString());
}

async function readBody(client: SurveyedServer, request: NodeRead): Promise<Buffer> {
  const response = await client.read({ ...request, deadlineMs: DEADLINE_MS, responseBytesMax: BYTES_MAX });
  if (response.status === 200) return response.body;
  throw new Error(`${request.path} failed with status ${response.status}`);
}
