// GET and POST /admin/quarantine…: lists, shows, retries and discards quarantined entries.

import type { Catalog } from '../../catalog/catalog.ts';
import { PolychromeError } from '../../errors.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';
import type { HttpResponse, WholeResponse } from '../../http/response.ts';
import type { Quarantine, QuarantineRecord } from '../../log/quarantine.ts';
import type { EventSink } from '../../observability/events.ts';
import type { Logger } from '../../util/logger.ts';
import { numberIn, PRIVATE, privateJson } from './private-json.ts';
import { RetryRefused, type QuarantineRetry } from './quarantine-retry.ts';
import type { AdminRoute } from './routes.ts';

export interface QuarantineRoutesOptions {
  readonly quarantine: Pick<Quarantine, 'list' | 'find' | 'body' | 'close'>;
  readonly retry: Pick<QuarantineRetry, 'retry'>;
  readonly catalog: Pick<Catalog, 'collectionOfShard'>;
  readonly events: EventSink;
  readonly logger: Pick<Logger, 'info'>;
}

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;
// Enough to recognize the records; the whole body has a route of its own.
const SHOWN_BODY_BYTES = 16 * 1024;

/** These routes show client data, so all of them need an access check. */
export function quarantineRoutes(options: QuarantineRoutesOptions): readonly AdminRoute[] {
  const { quarantine, catalog } = options;
  const list: Handler = async ({ query }) => {
    const limit = Math.min(numberIn(query, 'limit') ?? PAGE_SIZE, PAGE_SIZE_MAX);
    const after = numberIn(query, 'after') ?? 0;
    const includesClosed = query.get('closed') === 'true';
    const records = await quarantine.list({ after, limit, includesClosed });
    return privateJson({ entries: records.map((record) => entryOf(record, catalog)) });
  };
  const show: Handler = async (request) => {
    const record = await find(options, request);
    const body = (await quarantine.body(record.lsn, SHOWN_BODY_BYTES)) ?? Buffer.alloc(0);
    return privateJson({ ...entryOf(record, catalog), body: body.toString() });
  };
  const body: Handler = async (request) => {
    const { lsn } = await find(options, request);
    const content = (await quarantine.body(lsn)) ?? Buffer.alloc(0);
    return { status: 200, body: content, headers: { 'content-type': 'application/json', ...PRIVATE } };
  };
  const path = '/admin/quarantine';
  return [
    { method: 'GET', path, handle: list },
    { method: 'GET', path: `${path}/{lsn}`, handle: show },
    { method: 'GET', path: `${path}/{lsn}/body`, handle: body },
    { method: 'POST', path: `${path}/{lsn}/retry`, handle: (request) => retry(options, request) },
    { method: 'POST', path: `${path}/{lsn}/discard`, handle: (request) => discard(options, request) },
  ];
}

async function retry(options: QuarantineRoutesOptions, request: ClientRequest): Promise<HttpResponse> {
  const record = await find(options, request);
  if (record.closed !== null) return conflict(alreadyClosed(record));
  try {
    const result = await options.retry.retry(record);
    const { lsn, retriedLSN, outcome } = result;
    options.events.record('operator_action', { action: 'quarantine_retry', lsn, retriedLSN, outcome });
    return privateJson(result, result.outcome === 'pending' ? 202 : 200);
  } catch (error) {
    if (error instanceof RetryRefused) return conflict(error.message);
    throw error;
  }
}

async function discard(options: QuarantineRoutesOptions, request: ClientRequest): Promise<HttpResponse> {
  const { quarantine, events, logger } = options;
  const record = await find(options, request);
  if (record.closed !== null || !(await quarantine.close(record.lsn, 'discarded'))) {
    return conflict(alreadyClosed(await find(options, request)));
  }
  logger.info({ lsn: record.lsn }, 'quarantined entry discarded');
  events.record('operator_action', { action: 'quarantine_discard', lsn: record.lsn });
  return privateJson({ lsn: record.lsn, closed: 'discarded' });
}

async function find(
  { quarantine }: Pick<QuarantineRoutesOptions, 'quarantine'>,
  { params }: ClientRequest,
): Promise<QuarantineRecord> {
  const record = await quarantine.find(Number(params['lsn']));
  if (record !== null) return record;
  throw new PolychromeError('not_found', `No entry at LSN ${params['lsn']} is quarantined.`);
}

/** An entry as operators see it. */
export interface QuarantineEntry extends Omit<
  QuarantineRecord,
  'target' | 'response' | 'quarantinedAt' | 'closedAt'
> {
  /** The collection that the entry changes; null when it no longer exists, or for kinds without one. */
  readonly collection: { readonly tenant: string; readonly database: string; readonly name: string } | null;
  readonly response: string;
  /** ISO 8601. */
  readonly quarantinedAt: string;
  readonly closedAt: string | null;
}

function entryOf(
  { target, response, quarantinedAt, closedAt, ...record }: QuarantineRecord,
  catalog: Pick<Catalog, 'collectionOfShard'>,
): QuarantineEntry {
  const found = target === null ? null : catalog.collectionOfShard(target);
  return {
    ...record,
    collection: found === null ? null : { tenant: found.tenant, database: found.database, name: found.name },
    response: response.toString(),
    quarantinedAt: quarantinedAt.toISOString(),
    closedAt: closedAt?.toISOString() ?? null,
  };
}

function alreadyClosed({ lsn, closed, retriedLSN }: QuarantineRecord): string {
  if (closed !== 'retried') return `The quarantined entry at LSN ${lsn} has already been discarded.`;
  return retriedLSN === null
    ? `A retry of the quarantined entry at LSN ${lsn} was interrupted; it may or may not have been appended. Check the records before you send them again.`
    : `The quarantined entry at LSN ${lsn} has already been retried, as LSN ${retriedLSN}.`;
}

const conflict = (message: string): WholeResponse => privateJson({ error: 'Conflict', message }, 409);
