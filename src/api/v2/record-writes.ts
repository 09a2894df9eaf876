// The handlers of add, upsert, update and delete.

import type { Shard } from '../../catalog/catalog.ts';
import { onlyShard } from '../../catalog/only-shard.ts';
import { DEFAULT_FILTER_LIMITS, filterRefusal, type FilterLimits } from '../../chroma/parse/filter-limits.ts';
import { wrongDimension } from '../../chroma/protocol/messages.ts';
import { withBody, type RecordCall, type RecordKind } from '../../chroma/parse/record-call.ts';
import { type Refusal, isRefusal } from '../../chroma/parse/refusal.ts';
import type { Capabilities, CommonCapabilities } from '../../chroma/protocol/capabilities.ts';
import type { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import { PolychromeError } from '../../errors.ts';
import type { AckLevel } from '../../coordination/cluster-view.ts';
import type { HttpResponse } from '../../http/response.ts';
import { refusalResponse } from './error-responses.ts';
import { selectedCount } from '../../replication/decisions.ts';
import type { Names } from './resolve.ts';
import type { NodeSelection } from '../../read/node-selection.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';
import { LargeDeletes, type LargeDeletesOptions } from '../../write/large-deletes.ts';
import type { CompletedWrite, RejectedWrite, Writer } from '../../write/writer.ts';

export interface RecordWritesOptions extends LargeDeletesOptions {
  readonly writer: Writer;
  readonly scanner: LargeScanner;
  readonly names: Names;
  readonly selection: Pick<NodeSelection, 'isOutOfUse'>;
  readonly capabilities: () => CommonCapabilities;
  readonly ackLevel: AckLevel;
  /** Records in one call other than a delete, at most. */
  readonly recordsMax: number;
  readonly filterLimits?: FilterLimits;
}

const NO_HEALTHY_COPY =
  'Nothing was changed: every copy of this collection is suspect, and an operator must repair it. GET /status gives the reasons. Other collections are not affected.';

/** The handlers under the names of their routes. */
export function recordWrites(options: RecordWritesOptions): Record<RecordKind, Handler> {
  const writes = { ...options, large: new LargeDeletes(options) };
  return {
    add: (request) => write(writes, 'add', request),
    upsert: (request) => write(writes, 'upsert', request),
    update: (request) => write(writes, 'update', request),
    delete: (request) => write(writes, 'delete', request),
  };
}

async function write(
  options: RecordWritesOptions & { readonly large: LargeDeletes },
  kind: RecordKind,
  request: ClientRequest,
): Promise<HttpResponse> {
  const { writer, large, scanner, names, selection, capabilities, recordsMax } = options;
  const { revision, ...common } = capabilities();
  const limits = kind === 'delete' ? common : { ...common, recordsMax };
  const scanned = await scanner.scan(kind, request.body, limits);
  if (isRefusal(scanned) && scanned.after === undefined) return refusalResponse(scanned);
  const call = isRefusal(scanned) ? scanned : await withinLimits(options, scanned);
  if (isRefusal(call) && call.after === undefined) return refusalResponse(call);
  const collection = await names.byId(request.params);
  const shard = onlyShard(collection);
  if (isRefusal(call)) return refused(call, shard);
  // The entry would be in the log and on no node.
  if (selection.isOutOfUse(shard.id)) throw new PolychromeError('no_healthy_copy', NO_HEALTHY_COPY);
  const level = requestedLevel(request, options.ackLevel);
  const result = LargeDeletes.includes(call)
    ? await large.write({ shard: shard.id, call, level })
    : await writer.write({ type: 'records', shard: shard.id, call, revision }, level);
  if ('s' in result) throw rejectionError(result, call.dimension, names, request);
  shard.dimension ??= call.dimension;
  return recordsWritten(kind, call.ids.length, result, capabilities());
}

/** The call, or the refusal of a conditional delete whose selection would break a server. */
async function withinLimits(
  { scanner, filterLimits = DEFAULT_FILTER_LIMITS }: RecordWritesOptions,
  call: RecordCall,
): Promise<RecordCall | Refusal> {
  if (!call.conditional) return call;
  const { outline, body } = await scanner.outline('delete', call.body);
  return filterRefusal(outline.filter, filterLimits) ?? withBody(call, body);
}

/** The response to a call refused for its content; a server compares dimensions before some of the other checks. */
function refused(refusal: Refusal, { dimension }: Shard): HttpResponse {
  const given = refusal.after?.dimension ?? dimension;
  if (given !== null && dimension !== null && given !== dimension) throw wrongDimension(dimension, given);
  return refusalResponse(refusal);
}

function recordsWritten(
  kind: RecordKind,
  ids: number,
  { lsn, decision }: CompletedWrite,
  { deleteLimit }: Capabilities,
): HttpResponse {
  const headers = { 'content-type': 'application/json', 'x-polychrome-lsn': String(lsn) };
  if (decision !== null && decision.outcome !== 'accepted') {
    return { status: decision.status, body: decision.body, headers };
  }
  if (kind !== 'delete' || !deleteLimit) return { status: kind === 'add' ? 201 : 200, body: '{}', headers };
  // Releases with a limit also report how many: the ids given, or those that the filter selected.
  const deleted = decision === null ? ids : selectedCount(decision);
  return { status: 200, body: JSON.stringify({ deleted }), headers };
}

function rejectionError(
  result: RejectedWrite,
  dimension: number | null,
  names: Names,
  request: ClientRequest,
): PolychromeError {
  if (result.s === 'dimension') return wrongDimension(result.expected, dimension ?? 0);
  return names.missing(request.params['collection'] as string);
}

function requestedLevel(request: ClientRequest, fallback: AckLevel): AckLevel {
  const level = request.headers['x-polychrome-ack'];
  if (level === undefined) return fallback;
  if (level === 'log' || level === 'primary' || level === 'quorum' || level === 'all') return level;
  throw new PolychromeError('invalid_argument', 'x-polychrome-ack must be log, primary, quorum or all.');
}
