// The parts of a split call have the effect of the whole call on a bare server, even when all parts are sent again after
// a crash between two of them.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeRecordCalls } from '../../src/chroma/batch/merge.ts';
import type { RecordCall, RecordKind } from '../../src/chroma/parse/record-call.ts';
import type { Capabilities } from '../../src/chroma/protocol/capabilities.ts';
import { scanRecordCall } from '../../src/chroma/parse/scanner.ts';
import { isRefusal } from '../../src/chroma/parse/refusal.ts';
import { splitCall } from '../../src/chroma/batch/split.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { type BareServer, capabilitiesOf, startBareServer } from '../support/chroma-server.ts';
import { seededRandom } from '../support/seeded-random.ts';

const KINDS: readonly RecordKind[] = ['add', 'upsert', 'update', 'delete'];
const SEEDS = [1, 2, 3];
const DIMENSION = 3;

let server: BareServer;
let http: ChromaHttp;
let capabilities: Capabilities;
beforeAll(async () => {
  server = await startBareServer();
  http = new ChromaHttp(server.url);
  capabilities = await capabilitiesOf(server);
});
afterAll(() => server.stop());

type Body = Record<string, unknown[]>;

/** Bodies drawn from a seed: ids that repeat, exist and do not exist, absent columns, nulls. */
class BodyGenerator {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  stored(): Body {
    return this.#records('add', ['a', 'b', 'c', 'd']);
  }

  body(kind: RecordKind): Body {
    const ids = Array.from({ length: 4 + this.#below(5) }, () => 'abcdefgh'.charAt(this.#below(8)));
    return kind === 'delete' ? { ids } : this.#records(kind, ids);
  }

  #records(kind: RecordKind, ids: readonly string[]): Body {
    const body: Body = { ids: [...ids] };
    const each = (item: () => unknown): unknown[] => ids.map(item);
    const isBase64 = capabilities.base64Embeddings && this.#below(2) === 0;
    const embedding = (): unknown => this.#embedding(isBase64);
    if (kind !== 'update') body['embeddings'] = each(embedding);
    else if (this.#below(3) > 0) body['embeddings'] = each(() => this.#orNull(embedding));
    if (this.#below(4) > 0) body['documents'] = each(() => this.#orNull(() => `"text" ${this.#below(1000)}`));
    if (this.#below(4) > 0) body['metadatas'] = each(() => this.#orNull(() => this.#metadata(kind)));
    if (this.#below(2) > 0) body['uris'] = each(() => this.#orNull(() => `file:${this.#below(1000)}`));
    return body;
  }

  #embedding(isBase64: boolean): unknown {
    const floats = Array.from({ length: DIMENSION }, () => this.#below(1000));
    return isBase64 ? Buffer.from(new Float32Array(floats).buffer).toString('base64') : floats;
  }

  #metadata(kind: RecordKind): unknown {
    const keys = ['x', 'y', 'z'].filter(() => this.#below(2) === 0);
    const value = (): unknown => [this.#below(100), `[{"${this.#below(100)}"}]`, true, 0.5][this.#below(4)];
    return Object.fromEntries(keys.map((key) => [key, kind === 'add' ? value() : this.#orNull(value)]));
  }

  #orNull(item: () => unknown): unknown {
    return this.#below(4) === 0 ? null : item();
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

async function send(collection: string, action: string, body: string): Promise<string> {
  const { status, text } = await http.records(collection, action, body);
  if (status >= 300) throw new Error(`${action} ${body}: ${status} ${text}`);
  return text;
}

/** All records of `collection` in the order of the server, and the distances of a query for all of them. */
async function contentOf(collection: string): Promise<unknown> {
  const include = ['embeddings', 'documents', 'metadatas', 'uris'];
  const stored = JSON.parse(await send(collection, 'get', JSON.stringify({ include }))) as Body;
  const count = stored['ids']?.length ?? 0;
  if (count === 0) return stored;
  const query = {
    query_embeddings: [Array.from({ length: DIMENSION }, () => 500)],
    n_results: count,
    include: ['distances'],
  };
  return [stored, JSON.parse(await send(collection, 'query', JSON.stringify(query)))];
}

let collections = 0;
async function contentAfter(stored: Body, calls: readonly RecordCall[]): Promise<unknown> {
  collections += 1;
  const collection = await http.create(`split-${collections}`);
  await send(collection, 'add', JSON.stringify(stored));
  for (const call of calls) {
    await send(collection, call.kind, Buffer.concat(mergeRecordCalls([call])).toString());
  }
  return contentOf(collection);
}

function scanned(kind: RecordKind, body: Body): RecordCall {
  const call = scanRecordCall(kind, Buffer.from(JSON.stringify(body)), capabilities);
  if (isRefusal(call)) throw new Error(call.message);
  return call;
}

describe.each(KINDS)('%s in parts', (kind) => {
  const cases = SEEDS.flatMap((seed) => [1, 3].map((records) => [records, seed] as const));

  test.each(cases)('of %i records have the effect of the whole call, seed %i', async (records, seed) => {
    const generator = new BodyGenerator(seed);
    const stored = generator.stored();
    const whole = scanned(kind, generator.body(kind));
    const parts = [...splitCall(whole, { work: 1, maxIds: records, maxBytes: Infinity })];
    expect(parts.length).toBeGreaterThan(1);
    const expected = await contentAfter(stored, [whole]);
    expect(await contentAfter(stored, parts)).toEqual(expected);
    for (let sent = 1; sent <= parts.length; sent++) {
      const calls = [...parts.slice(0, sent), ...parts];
      expect(await contentAfter(stored, calls), `repeated after part ${sent}`).toEqual(expected);
    }
  });
});

test('parts in the wrong order have another effect', async () => {
  const stored = { ids: ['a'], embeddings: [[1, 2, 3]] };
  const whole = scanned('upsert', {
    ids: ['b', 'b'],
    embeddings: [
      [1, 1, 1],
      [2, 2, 2],
    ],
    documents: ['1', '2'],
  });
  const parts = [...splitCall(whole, { work: 1, maxIds: 1, maxBytes: Infinity })];
  const expected = await contentAfter(stored, [whole]);
  expect(await contentAfter(stored, parts.toReversed())).not.toEqual(expected);
});
