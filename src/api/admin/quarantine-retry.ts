// Retries a quarantined entry: validates its body again, appends it as a new entry, and waits for the outcome.

import type { Catalog } from '../../catalog/catalog.ts';
import { isRefusal } from '../../chroma/parse/refusal.ts';
import type { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import type { RecordKind } from '../../chroma/parse/record-call.ts';
import type { CommonCapabilities } from '../../chroma/protocol/capabilities.ts';
import type { RecordOperation } from '../../chroma/protocol/operation.ts';
import { PolychromeError } from '../../errors.ts';
import type { Quarantine, QuarantineRecord } from '../../log/quarantine.ts';
import type { NodeSelection } from '../../read/node-selection.ts';
import type { Decision } from '../../replication/decisions.ts';
import type { RejectedWrite, Writer } from '../../write/writer.ts';
import type { Logger } from '../../util/logger.ts';

export interface QuarantineRetryOptions {
  readonly quarantine: Pick<Quarantine, 'body' | 'close' | 'reopen' | 'recordRetry'>;
  readonly catalog: Pick<Catalog, 'refresh' | 'collectionOfShard'>;
  readonly scanner: Pick<LargeScanner, 'scan'>;
  readonly selection: Pick<NodeSelection, 'isOutOfUse'>;
  readonly writer: Pick<Writer, 'write'>;
  readonly capabilities: () => CommonCapabilities;
  readonly logger: Pick<Logger, 'info' | 'error'>;
}

/** What became of the new entry; `pending`: it is durable, and its outcome was not known in time. */
export type RetryOutcome = 'applied' | 'refused' | 'quarantined' | 'partly_applied' | 'pending';

export interface RetryResult {
  readonly lsn: number;
  readonly retriedLSN: number;
  readonly outcome: RetryOutcome;
  /** What nodes responded to an entry that they did not apply; null otherwise. */
  readonly response: { readonly status: number; readonly body: string } | null;
}

/** A retry that cannot be carried out; the record is open as before. */
export class RetryRefused extends Error {
  override readonly name = 'RetryRefused';
}

const KINDS: Readonly<Record<string, RecordKind>> = {
  add: 'add',
  upsert: 'upsert',
  update: 'update',
  delete: 'delete',
  delete_where: 'delete',
};
// The LSN of a retry is recorded at once: a failure to do so must not hide the retry's result.
const RECORD_ATTEMPTS = 3;

export class QuarantineRetry {
  readonly #options: QuarantineRetryOptions;
  #isBusy = false;

  constructor(options: QuarantineRetryOptions) {
    this.#options = options;
  }

  /**
   * Throws RetryRefused, and the PolychromeErrors of a write: nothing was appended unless the code is outcome_unknown.
   * One retry runs at a time, because its body counts against no budget.
   */
  async retry(record: QuarantineRecord): Promise<RetryResult> {
    if (this.#isBusy) {
      throw new PolychromeError('overloaded', 'Another retry is in progress on this gateway. Try again.');
    }
    this.#isBusy = true;
    try {
      const operation = await this.#operation(record);
      return await this.#append(record, operation);
    } finally {
      this.#isBusy = false;
    }
  }

  async #operation({ lsn, kind, target }: QuarantineRecord): Promise<RecordOperation> {
    const { catalog, quarantine, scanner, selection, capabilities } = this.#options;
    const recordKind = KINDS[kind];
    if (recordKind === undefined || target === null) {
      throw new RetryRefused(
        `The entry at LSN ${lsn} is a ${kind}. Only changes of records can be retried; discard it.`,
      );
    }
    await catalog.refresh();
    if (catalog.collectionOfShard(target)?.state !== 'ready') throw collectionGone(lsn);
    if (selection.isOutOfUse(target)) {
      throw new RetryRefused(
        `Every copy of the collection of the entry at LSN ${lsn} is suspect: no node would apply the entry. GET /status gives the reasons.`,
      );
    }
    const body = await quarantine.body(lsn);
    if (body === null) throw new Error(`the quarantined entry at LSN ${lsn} has no body`);
    const { revision, ...common } = capabilities();
    const call = await scanner.scan(recordKind, body, common);
    if (!isRefusal(call)) return { type: 'records', shard: target, call, revision };
    throw new RetryRefused(
      `The body of the entry at LSN ${lsn} does not pass validation any more: ${call.message}`,
    );
  }

  async #append({ lsn }: QuarantineRecord, operation: RecordOperation): Promise<RetryResult> {
    const { quarantine, writer } = this.#options;
    // Closed before the append, so that no two retries of one entry are appended.
    if (!(await quarantine.close(lsn, 'retried'))) throw closedMeanwhile(lsn);
    let retriedLSN: number | null = null;
    let recorded = Promise.resolve();
    const onAppended = (newLSN: number): void => {
      retriedLSN = newLSN;
      recorded = this.#record(lsn, newLSN);
    };
    try {
      const result = await writer.write(operation, 'primary', onAppended);
      if ('s' in result) throw rejected(lsn, result);
      return { lsn, retriedLSN: result.lsn, ...outcomeOf(result.decision) };
    } catch (error) {
      if (retriedLSN !== null) return { lsn, retriedLSN, outcome: 'pending', response: null };
      const isUnknown = error instanceof PolychromeError && error.code === 'outcome_unknown';
      if (!isUnknown) await quarantine.reopen(lsn);
      throw error;
    } finally {
      await recorded;
    }
  }

  async #record(lsn: number, retriedLSN: number): Promise<void> {
    const { quarantine, logger } = this.#options;
    logger.info({ lsn, retriedLSN }, 'quarantined entry retried');
    for (let attempt = 1; attempt <= RECORD_ATTEMPTS; attempt++) {
      try {
        return await quarantine.recordRetry(lsn, retriedLSN);
      } catch (error) {
        logger.error({ lsn, retriedLSN, error: String(error), attempt }, 'LSN of a retry not recorded');
      }
    }
  }
}

function outcomeOf(decision: Decision | null): Pick<RetryResult, 'outcome' | 'response'> {
  if (decision === null || decision.outcome === 'accepted') return { outcome: 'applied', response: null };
  const { outcome, status, body } = decision;
  return { outcome, response: { status, body: body.toString() } };
}

function rejected(lsn: number, result: RejectedWrite): RetryRefused {
  if (result.s === 'dimension') {
    return new RetryRefused(
      `The collection holds embeddings of dimension ${result.expected} by now, which those of the entry at LSN ${lsn} do not have.`,
    );
  }
  return collectionGone(lsn);
}

function collectionGone(lsn: number): RetryRefused {
  return new RetryRefused(
    `The collection of the entry at LSN ${lsn} no longer exists, so the entry cannot be retried. Discard it, or send its records to another collection.`,
  );
}

function closedMeanwhile(lsn: number): RetryRefused {
  return new RetryRefused(`The quarantined entry at LSN ${lsn} has just been closed by another request.`);
}
