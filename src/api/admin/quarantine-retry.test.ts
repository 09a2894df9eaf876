// What a retry leaves on record when it is refused, interrupted, or of unknown outcome.

import { beforeEach, describe, expect, test } from 'vitest';
import { COMMON_1_0_5 } from '../../../test/support/capability-levels.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { scanRecordCall } from '../../chroma/parse/scanner.ts';
import type { Operation } from '../../chroma/protocol/operation.ts';
import { PolychromeError } from '../../errors.ts';
import type { QuarantineRecord } from '../../log/quarantine.ts';
import type { Decision } from '../../replication/decisions.ts';
import { QuarantineRetry, RetryRefused, type QuarantineRetryOptions } from './quarantine-retry.ts';

const LSN = 7;
const NEW_LSN = 20;
const SHARD = 'shard';
const RECORD: QuarantineRecord = {
  lsn: LSN,
  kind: 'add',
  target: SHARD,
  bodyBytes: 1,
  status: 500,
  response: Buffer.alloc(0),
  quarantinedAt: new Date(0),
  closed: null,
  closedAt: null,
  retriedLSN: null,
};

let body: string;
let state: 'open' | 'retried' | 'discarded';
let retriedLSN: number | null;
let recordFailures: number;
let appended: Operation[];
let write: (onAppended: ((lsn: number) => void) | undefined) => Promise<unknown>;

beforeEach(() => {
  body = '{"ids":["a"],"embeddings":[[1,2]]}';
  state = 'open';
  retriedLSN = null;
  recordFailures = 0;
  appended = [];
  write = async (onAppended) => {
    onAppended?.(NEW_LSN);
    return { lsn: NEW_LSN, decision: null };
  };
});

function subject(options: Partial<QuarantineRetryOptions> = {}): QuarantineRetry {
  const quarantine: QuarantineRetryOptions['quarantine'] = {
    body: async () => Buffer.from(body),
    close: async (_lsn, how) => {
      if (state !== 'open') return false;
      state = how;
      return true;
    },
    reopen: async () => {
      if (retriedLSN === null) state = 'open';
    },
    recordRetry: async (_lsn, lsn) => {
      if (recordFailures-- > 0) throw new Error('PostgreSQL is away');
      retriedLSN = lsn;
    },
  };
  return new QuarantineRetry({
    quarantine,
    catalog: { refresh: async () => undefined, collectionOfShard: () => ({ state: 'ready' }) as never },
    scanner: { scan: scanRecordCall },
    selection: { isOutOfUse: () => false },
    writer: {
      write: ((operation: Operation, _level: string, onAppended?: (lsn: number) => void) => {
        appended.push(operation);
        return write(onAppended);
      }) as never,
    },
    capabilities: () => COMMON_1_0_5,
    logger: { info: () => undefined, error: () => undefined },
    ...options,
  });
}

const decision = (outcome: Decision['outcome']): Decision => ({
  lsn: NEW_LSN,
  outcome,
  status: 500,
  body: Buffer.from('why'),
  pages: 0,
  generation: 0,
});

describe('a retry', () => {
  test('appends the records of the entry to its shard and records the new LSN', async () => {
    const result = await subject().retry(RECORD);
    expect(result).toEqual({ lsn: LSN, retriedLSN: NEW_LSN, outcome: 'applied', response: null });
    expect(appended).toMatchObject([{ type: 'records', shard: SHARD, call: { ids: ['a'] } }]);
    expect([state, retriedLSN]).toEqual(['retried', NEW_LSN]);
  });

  test.each(['quarantined', 'refused', 'partly_applied'] as const)(
    'reports that the new entry was %s, with the response of the nodes',
    async (outcome) => {
      write = async () => ({ lsn: NEW_LSN, decision: decision(outcome) });
      const { outcome: reported, response } = await subject().retry(RECORD);
      expect([reported, response]).toEqual([outcome, { status: 500, body: 'why' }]);
    },
  );

  test('reports a conditional delete that was accepted as applied', async () => {
    body = '{"where":{"k":1}}';
    write = async () => ({ lsn: NEW_LSN, decision: decision('accepted') });
    expect((await subject().retry({ ...RECORD, kind: 'delete_where' })).outcome).toBe('applied');
  });

  test('is pending, and recorded, when the outcome is not known in time', async () => {
    write = async (onAppended) => {
      onAppended?.(NEW_LSN);
      throw new PolychromeError('unconfirmed', 'later');
    };
    expect((await subject().retry(RECORD)).outcome).toBe('pending');
    expect([state, retriedLSN]).toEqual(['retried', NEW_LSN]);
  });

  test('records the new LSN although PostgreSQL fails for a moment', async () => {
    recordFailures = 2;
    await subject().retry(RECORD);
    expect(retriedLSN).toBe(NEW_LSN);
  });

  test('leaves the record open when nothing was appended', async () => {
    write = () => Promise.reject(new PolychromeError('log_unavailable', 'no log'));
    await expect(subject().retry(RECORD)).rejects.toThrow('no log');
    expect(state).toBe('open');
  });

  test('leaves the record closed when it may have been appended', async () => {
    write = () => Promise.reject(new PolychromeError('outcome_unknown', 'unknown'));
    await expect(subject().retry(RECORD)).rejects.toThrow('unknown');
    expect([state, retriedLSN]).toEqual(['retried', null]);
  });

  test('is not appended twice when two requests retry the same entry', async () => {
    const retries = [subject(), subject()].map((each) => each.retry(RECORD));
    const results = await Promise.allSettled(retries);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(appended).toHaveLength(1);
  });

  test('is refused while another one runs on the same gateway', async () => {
    const retry = subject();
    const first = retry.retry(RECORD);
    await expect(retry.retry(RECORD)).rejects.toMatchObject({ code: 'overloaded' });
    await first;
  });
});

describe('a retry is refused and appends nothing', () => {
  const refused = async (message: string, record = RECORD, options: Partial<QuarantineRetryOptions> = {}) => {
    const error = await subject(options)
      .retry(record)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RetryRefused);
    expect((error as Error).message).toContain(message);
    expect([appended, state]).toEqual([[], 'open']);
  };
  const catalog = (collection: object | null): Pick<Catalog, 'refresh' | 'collectionOfShard'> => ({
    refresh: async () => undefined,
    collectionOfShard: () => collection as never,
  });

  test('when the collection is deleted or being deleted', async () => {
    await refused('no longer exists', RECORD, { catalog: catalog(null) });
    await refused('no longer exists', RECORD, { catalog: catalog({ state: 'deleted' }) });
  });

  test('when every copy of the collection is suspect', async () => {
    await refused('is suspect', RECORD, { selection: { isOutOfUse: () => true } });
  });

  test('when the body does not pass the scanner any more', async () => {
    body = '{"ids":["a","a"],"embeddings":[[1,2]]}';
    await refused('does not pass validation any more');
  });

  test('for an entry that changes no records', async () => {
    await refused('Only changes of records', { ...RECORD, kind: 'delete_collection' });
  });
});

test.each([{ s: 'no_collection' }, { s: 'dimension', expected: 3 }])(
  'a retry that the log rejects leaves the record open: %j',
  async (rejection) => {
    write = async () => rejection;
    await expect(subject().retry(RECORD)).rejects.toBeInstanceOf(RetryRefused);
    expect(state).toBe('open');
  },
);
