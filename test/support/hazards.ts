// Requests that break a bare Chroma server or succeed with a wrong effect. Two tests use this table: each request does so
// on a bare server, and none does through Polychrome.

import type { RecordKind } from '../../src/chroma/parse/record-call.ts';
import type { Capabilities } from '../../src/chroma/protocol/capabilities.ts';

export interface HazardRequest {
  readonly method: 'GET' | 'POST';
  /** Below /api/v2; `{id}` stands for the id of the collection. */
  readonly path: string;
  readonly body?: string;
}

/** Status 0: the connection ended without a response. */
export interface HazardResponse {
  readonly status: number;
  readonly text: string;
}

/** A server under test, or Polychrome. */
export interface HazardSubject {
  request(request: HazardRequest): Promise<HazardResponse>;
}

export interface Hazard {
  readonly name: string;
  /** Servers that show it, by their capabilities; Polychrome refuses it in front of any. */
  readonly shownBy: (capabilities: Capabilities) => boolean;
  /** Earlier requests in a new collection, which succeed. */
  readonly setup: readonly HazardRequest[];
  readonly hostile: HazardRequest;
  /**
   * Whether the harm is done: false before the hostile request (`response` is null), true after it on a bare server,
   * never on Polychrome.
   */
  readonly harmed: (subject: HazardSubject, response: HazardResponse | null) => Promise<boolean>;
  /** Polychrome does not refuse it: it prevents the harm. */
  readonly isPrevented?: true;
}

export const COLLECTIONS = '/tenants/default_tenant/databases/default_database/collections';

function post(kind: RecordKind | 'get', body: string): HazardRequest {
  return { method: 'POST', path: `${COLLECTIONS}/{id}/${kind}`, body };
}

const COUNT: HazardRequest = { method: 'GET', path: `${COLLECTIONS}/{id}/count` };
const ONE_RECORD = post(
  'add',
  '{"ids":["kept"],"embeddings":[[1,2]],"metadatas":[{"k":1}],"documents":["text"]}',
);

const everywhere = (): boolean => true;
// By capability: the oldest servers lack base64, and only the newest have metadata arrays.
const onlyOldest = (capabilities: Capabilities): boolean => !capabilities.base64Embeddings;
const onlyNewest = (capabilities: Capabilities): boolean => capabilities.metadataArrays;
const notNewest = (capabilities: Capabilities): boolean => !capabilities.metadataArrays;

/** Whether the collection is empty and refuses a vector of three components. Otherwise its dimension is three afterwards. */
async function dimensionFixed(subject: HazardSubject): Promise<boolean> {
  const count = await subject.request(COUNT);
  const added = await subject.request(post('add', '{"ids":["probe"],"embeddings":[[1,2,3]]}'));
  if (added.status === 201) await subject.request(post('delete', '{"ids":["probe"]}'));
  return count.text === '0' && added.status === 400;
}

async function collectionUnreadable(subject: HazardSubject): Promise<boolean> {
  return (await subject.request(COUNT)).status !== 200;
}

/** Whether writes fail in every collection while the server reports that it is healthy. */
async function nodeTakesNoWrites(subject: HazardSubject): Promise<boolean> {
  const name = `canary-${process.hrtime.bigint()}`;
  const created = await subject.request({
    method: 'POST',
    path: COLLECTIONS,
    body: JSON.stringify({ name }),
  });
  const { id }: { id: string } = JSON.parse(created.text);
  const path = `${COLLECTIONS}/${id}/add`;
  const written = await subject.request({ method: 'POST', path, body: '{"ids":["a"],"embeddings":[[1]]}' });
  const health = await subject.request({ method: 'GET', path: '/healthcheck' });
  return written.status >= 500 && health.status === 200;
}

/** Whether the text of all records matches `pattern`. */
function reads(pattern: RegExp): (subject: HazardSubject) => Promise<boolean> {
  return async (subject) => {
    const include = ['embeddings', 'documents', 'metadatas', 'uris'];
    const { text } = await subject.request(post('get', JSON.stringify({ include })));
    return pattern.test(text);
  };
}

const unanswered = async (_subject: HazardSubject, response: HazardResponse | null): Promise<boolean> =>
  response?.status === 0;

const BAD_VECTORS = {
  nan: Buffer.from(new Float32Array([NaN, 2]).buffer).toString('base64'),
  infinity: Buffer.from(new Float32Array([-Infinity, 2]).buffer).toString('base64'),
};

const DIMENSION: Hazard[] = (
  [
    ['ids and embeddings of different number', '{"ids":["a","b"],"embeddings":[[1,2]]}'],
    ['a column of another length', '{"ids":["a"],"embeddings":[[1,2]],"documents":[]}'],
    ['an empty id', '{"ids":[""],"embeddings":[[1,2]]}'],
  ] as const
).map(([what, body]) => ({
  name: `a first write refused for ${what} fixes the dimension permanently`,
  shownBy: everywhere,
  setup: [],
  hostile: post('add', body),
  harmed: dimensionFixed,
}));

const RESERVED_KEYS: Hazard[] = (
  [
    ['add', '5'],
    ['upsert', 'true'],
    ['upsert', 'null'],
    ['update', '1.5'],
  ] as const
).map(([kind, value]) => ({
  name: `${kind} with chroma:document ${value} in the metadata ends all writes to the node`,
  shownBy: everywhere,
  setup: [ONE_RECORD],
  hostile: post(kind, `{"ids":["kept"],"embeddings":[[1,2]],"metadatas":[{"chroma:document":${value}}]}`),
  harmed: nodeTakesNoWrites,
}));

const POISON: Hazard[] = (
  [
    ['update with an embedding of no components', notNewest, 'update', '{"ids":["kept"],"embeddings":[[]]}'],
    ['add with an embedding of no components', onlyOldest, 'add', '{"ids":["a"],"embeddings":[[]]}'],
    ['add without embeddings', onlyOldest, 'add', '{"ids":["a"],"documents":["x"]}'],
    ['upsert without embeddings', onlyOldest, 'upsert', '{"ids":["a"],"documents":["x"]}'],
  ] as const
).map(([what, shownBy, kind, body]) => ({
  name: `${what} makes the collection unreadable`,
  shownBy,
  setup: [],
  hostile: post(kind, body),
  harmed: collectionUnreadable,
}));

/** Whether the collection refuses a harmless write. */
async function collectionTakesNoWrites(subject: HazardSubject): Promise<boolean> {
  return (await subject.request(post('upsert', '{"ids":["probe"],"embeddings":[[1,2]]}'))).status >= 500;
}

const MANY_KEYS = Object.fromEntries(Array.from({ length: 5_470 }, (_, n) => [`k${n}`, n]));

const METADATA_SIZE: Hazard[] = (['add', 'upsert', 'update'] as const).map((kind) => ({
  name: `${kind} with 5,470 metadata keys in one record ends all writes to the collection`,
  shownBy: everywhere,
  setup: [ONE_RECORD],
  hostile: post(
    kind,
    JSON.stringify({
      ids: [kind === 'update' ? 'kept' : 'a'],
      embeddings: [[1, 2]],
      metadatas: [MANY_KEYS],
    }),
  ),
  harmed: collectionTakesNoWrites,
}));

const EMBEDDINGS = post('get', '{"ids":["a"],"include":["embeddings"]}');

const LIST_SIZE: Hazard = {
  name: 'lists of 5,462 values in the metadata of one record end all writes to the collection',
  shownBy: onlyNewest,
  setup: [ONE_RECORD],
  hostile: post(
    'upsert',
    JSON.stringify({
      ids: ['a'],
      embeddings: [[1, 2]],
      metadatas: [{ k: Array.from({ length: 2_731 }, () => 1), l: Array.from({ length: 2_731 }, () => 'a') }],
    }),
  ),
  harmed: collectionTakesNoWrites,
};

export const HAZARDS: readonly Hazard[] = [
  ...DIMENSION,
  ...RESERVED_KEYS,
  ...POISON,
  ...METADATA_SIZE,
  LIST_SIZE,
  {
    name: 'an add after an update of its missing id gets the embedding of the update back with a read and a write',
    shownBy: everywhere,
    setup: [post('update', '{"ids":["a"],"embeddings":[[7,7]]}')],
    hostile: post('add', '{"ids":["a"],"embeddings":[[1,2]]}'),
    isPrevented: true,
    harmed: async (subject, response) => {
      if (response === null) return false; // a read would prevent it
      await subject.request(EMBEDDINGS);
      await subject.request(post('upsert', '{"ids":["b"],"embeddings":[[3,4]]}'));
      return /\[7(\.0)?,7(\.0)?\]/.test((await subject.request(EMBEDDINGS)).text);
    },
  },
  {
    name: 'metadata under chroma:uri disappears',
    shownBy: everywhere,
    setup: [ONE_RECORD],
    hostile: post('upsert', '{"ids":["lost"],"embeddings":[[1,2]],"metadatas":[{"chroma:uri":5}]}'),
    harmed: reads(/"lost"(?!.*chroma:uri)/),
  },
  {
    name: 'a component beyond 32-bit floats is stored and read back as null',
    shownBy: notNewest,
    setup: [],
    hostile: post('add', '{"ids":["a"],"embeddings":[[1e39,2]]}'),
    harmed: reads(/"embeddings":\[\[null,/),
  },
  ...Object.entries(BAD_VECTORS).map(([what, vector]): Hazard => ({
    name: `${what} in a base64 embedding is stored and read back as null`,
    shownBy: (capabilities) => capabilities.base64Embeddings && notNewest(capabilities),
    setup: [],
    hostile: post('upsert', JSON.stringify({ ids: ['a'], embeddings: [vector] })),
    harmed: reads(/"embeddings":\[\[null,/),
  })),
  {
    name: 'an unsigned 64-bit integer in the metadata is rounded',
    shownBy: everywhere,
    setup: [],
    hostile: post('add', '{"ids":["a"],"embeddings":[[1]],"metadatas":[{"hash":18446744073709551615}]}'),
    harmed: reads(/"hash":(?!18446744073709551615\b)/),
  },
  {
    name: 'a delete with a limit deletes everything that matches',
    shownBy: (capabilities) => !capabilities.deleteLimit,
    setup: [post('add', '{"ids":["a","b"],"embeddings":[[1],[2]],"metadatas":[{"k":1},{"k":1}]}')],
    hostile: post('delete', '{"where":{"k":1},"limit":1}'),
    harmed: reads(/"ids":\[\]/),
  },
  {
    name: 'a regular expression over documents drops the connection',
    shownBy: onlyOldest,
    setup: [ONE_RECORD],
    hostile: post('get', '{"where_document":{"$regex":"t.*"}}'),
    harmed: unanswered,
  },
  {
    name: 'asking for a collection by its resource name drops the connection',
    shownBy: onlyNewest,
    setup: [],
    hostile: { method: 'GET', path: '/collections/a:b:c' },
    harmed: unanswered,
  },
];
