// The handlers of the routes that carry records: add, upsert, update, delete; get, query, count.

import type { Collection, Shard } from '../catalog/catalog.ts';
import { wrongDimension } from '../chroma/messages.ts';
import { recordsPath } from '../chroma/paths.ts';
import { readTopLevel } from '../chroma/rewrite.ts';
import type { Capabilities, RecordKind } from '../chroma/record-call.ts';
import { isRefusal, scanRecordCall } from '../chroma/scanner.ts';
import { PolychromeError } from '../errors.ts';
import type { AckLevel } from '../replication/positions.ts';
import { refusalAnswer, type Answer } from './answer.ts';
import type { Names } from './names.ts';
import type { SessionFloors } from './floors.ts';
import type { Reader } from './reads.ts';
import type { ClientRequest, Handler } from './server.ts';
import type { NotTaken, Writer, Written } from './writer.ts';

/** What a read must see. */
export type Consistency = 'session' | 'eventual';

export interface RecordRoutesOptions {
  readonly writer: Writer;
  readonly reader: Reader;
  readonly names: Names;
  readonly floors: SessionFloors;
  readonly capabilities: () => Capabilities;
  readonly ackLevel: AckLevel;
  readonly consistency: Consistency;
}

export interface RecordRoutes {
  readonly add: Handler;
  readonly upsert: Handler;
  readonly update: Handler;
  readonly delete: Handler;
  readonly get: Handler;
  readonly query: Handler;
  readonly count: Handler;
}

export function recordRoutes(options: RecordRoutesOptions): RecordRoutes {
  return {
    add: (request) => write(options, 'add', request),
    upsert: (request) => write(options, 'upsert', request),
    update: (request) => write(options, 'update', request),
    delete: (request) => write(options, 'delete', request),
    get: (request) => read(options, 'get', request),
    query: (request) => read(options, 'query', request),
    count: (request) => read(options, 'count', request),
  };
}

/** Today a collection is one shard; a call that had to be split among several would be split here. */
function shardOf(collection: Collection): Shard {
  return collection.shards[0] as Shard;
}

async function write(
  options: RecordRoutesOptions,
  kind: RecordKind,
  request: ClientRequest,
): Promise<Answer> {
  const { writer, names, capabilities } = options;
  const call = scanRecordCall(kind, request.body, capabilities());
  if (isRefusal(call)) return refusalAnswer(call);
  const collection = await names.byId(request.params);
  const shard = shardOf(collection);
  const result = await writer.write(
    { type: 'records', shard: shard.id, call },
    levelAsked(request, options.ackLevel),
  );
  if ('s' in result) throw notTaken(result, call.dimension, names, request);
  return recordsWritten(kind, call.ids.length, result, capabilities());
}

function recordsWritten(
  kind: RecordKind,
  ids: number,
  { lsn, decision }: Written,
  { deleteLimit }: Capabilities,
): Answer {
  const headers = { 'content-type': 'application/json', 'x-polychrome-lsn': String(lsn) };
  if (decision !== null && decision.outcome !== 'accepted') {
    return { status: decision.status, body: decision.body, headers };
  }
  if (kind !== 'delete' || !deleteLimit) return { status: kind === 'add' ? 201 : 200, body: '{}', headers };
  // Releases that know a limit also say how many: those asked for by id, or those the filter had found.
  const deleted = decision === null ? ids : (JSON.parse(decision.body.toString()) as string[]).length;
  return { status: 200, body: JSON.stringify({ deleted }), headers };
}

function notTaken(
  result: NotTaken,
  dimension: number | null,
  names: Names,
  request: ClientRequest,
): PolychromeError {
  if (result.s === 'dimension') return wrongDimension(result.expected, dimension ?? 0);
  return names.missing(request.params['collection'] as string);
}

async function read(
  options: RecordRoutesOptions,
  action: 'get' | 'query' | 'count',
  request: ClientRequest,
): Promise<Answer> {
  const { reader, names, floors } = options;
  const collection = await names.byId(request.params);
  const shard = shardOf(collection);
  const floor = consistencyAsked(request, options.consistency) === 'session' ? floors.shard(shard.id) : 0;
  const wanted = {
    shard: shard.id,
    floor: Math.max(floor, lsnAsked(request)),
    sticky: isPaged(action, request),
  };
  return reader.read(
    wanted,
    {
      method: action === 'count' ? 'GET' : 'POST',
      path: (physical) => recordsPath(collection, physical, action) + searchOf(request),
      ...(action === 'count' ? {} : { body: request.body }),
    },
    request.signal,
  );
}

// The order of records may differ between nodes after a rebuild, so the pages of one scan come from one node.
function isPaged(action: string, { body }: ClientRequest): boolean {
  if (action !== 'get') return false;
  const fields = readTopLevel(body, ['limit', 'offset']);
  return !isRefusal(fields) && [...fields.values()].some(({ type }) => type !== 'null');
}

function searchOf({ query }: ClientRequest): string {
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

function levelAsked(request: ClientRequest, fallback: AckLevel): AckLevel {
  const asked = request.headers['x-polychrome-ack'];
  if (asked === undefined) return fallback;
  if (asked === 'log' || asked === 'primary' || asked === 'quorum' || asked === 'all') return asked;
  throw new PolychromeError('invalid_argument', 'x-polychrome-ack must be log, primary, quorum or all.');
}

function consistencyAsked(request: ClientRequest, fallback: Consistency): Consistency {
  const asked = request.headers['x-polychrome-consistency'];
  if (asked === undefined) return fallback;
  if (asked === 'session' || asked === 'eventual') return asked;
  throw new PolychromeError('invalid_argument', 'x-polychrome-consistency must be session or eventual.');
}

/** A client that gives back the LSN of an earlier answer sees nothing older, through whichever gateway. */
function lsnAsked(request: ClientRequest): number {
  const asked = request.headers['x-polychrome-lsn'];
  if (asked === undefined) return 0;
  if (typeof asked === 'string' && /^\d{1,15}$/.test(asked)) return Number(asked);
  throw new PolychromeError(
    'invalid_argument',
    'x-polychrome-lsn must be an LSN as given in an earlier answer.',
  );
}
