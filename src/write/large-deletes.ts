// Writes a delete of very many ids as several entries, one after the other: a server needs minutes for millions of ids,
// and writes of other clients take their turns in between. A delete can be repeated, so it need not be one entry.

import { mergeRecordCalls } from '../chroma/batch/merge.ts';
import { splitCall } from '../chroma/batch/split.ts';
import type { LargeScanner } from '../chroma/parse/large-scanner.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { LISTED_IDS_MAX } from '../chroma/parse/record-ids.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import type { Capabilities } from '../chroma/protocol/capabilities.ts';
import type { AckLevel } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import type { Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';
import type { CompletedWrite, RejectedWrite, Writer } from './writer.ts';

export interface LargeDeletesOptions {
  readonly writer: Pick<Writer, 'write'>;
  readonly scanner: Pick<LargeScanner, 'scan'>;
  readonly capabilities: () => Capabilities;
  readonly clock: Clock;
  /** How long a delete may wait for another one, ms. */
  readonly timeoutMs: number;
}

// About two seconds of a server's work: less than large writes leave to each other (write/backlog.ts).
const STEP_WORK = 2;

interface LargeDelete {
  readonly shard: string;
  readonly call: RecordCall;
  readonly level: AckLevel;
}

export class LargeDeletes {
  readonly #options: LargeDeletesOptions;
  #isRunning = false;
  readonly #ended = new Notifier();

  constructor(options: LargeDeletesOptions) {
    this.#options = options;
  }

  /** Whether a call is written in steps. */
  static includes({ kind, conditional, ids }: RecordCall): boolean {
    return kind === 'delete' && !conditional && ids.length > LISTED_IDS_MAX;
  }

  /** The result of the last step. Each step has its own time limit. Throws what a write throws, and says what was done. */
  async write(large: LargeDelete): Promise<CompletedWrite | RejectedWrite> {
    await this.#turn();
    try {
      return await this.#steps(large);
    } finally {
      this.#isRunning = false;
      this.#ended.notify();
    }
  }

  /** One at a time: each holds its body until it ends. */
  async #turn(): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    const limit = new AbortController();
    const cancel = clock.after(timeoutMs, () => limit.abort());
    while (this.#isRunning && !limit.signal.aborted) await this.#ended.wait(limit.signal);
    cancel();
    if (this.#isRunning)
      throw new PolychromeError(
        'overloaded',
        'Another delete of very many ids is in progress; nothing was changed. Try again.',
      );
    this.#isRunning = true;
  }

  async #steps({ shard, call, level }: LargeDelete): Promise<CompletedWrite | RejectedWrite> {
    const { writer } = this.#options;
    let result: CompletedWrite | RejectedWrite | null = null;
    let written = 0;
    for (const part of splitCall(call, { work: STEP_WORK, maxIds: Infinity, maxBytes: Infinity })) {
      const step = await this.#whole(part);
      const isLast = written + part.ids.length === call.ids.length;
      try {
        result = await writer.write({ type: 'records', shard, call: step }, level);
        // Also a collection that was deleted meanwhile.
        if ('s' in result || (result.decision !== null && written === 0)) return result;
        if (result.decision !== null) throw new Error(result.decision.body.toString());
      } catch (error) {
        // A durable step is applied before the next one: the result of the last one covers all.
        const isDurable = error instanceof PolychromeError && error.code === 'unconfirmed';
        if (isLast && isDurable) throw error;
        if (!isDurable) throw written === 0 ? error : interrupted(written, call.ids.length, error);
      }
      written += part.ids.length;
    }
    return result as CompletedWrite;
  }

  /** The part as a call by itself. */
  async #whole(part: RecordCall): Promise<RecordCall> {
    const { scanner, capabilities } = this.#options;
    const call = await scanner.scan('delete', Buffer.concat(mergeRecordCalls([part])), capabilities());
    if (isRefusal(call)) throw new Error(`A part of a valid delete is refused: ${call.message}`);
    return call;
  }
}

function interrupted(written: number, ids: number, cause: unknown): PolychromeError {
  const why = cause instanceof Error ? ` (${cause.message})` : '';
  return new PolychromeError(
    'unconfirmed',
    `The first ${written} of ${ids} ids are deleted, or will be; the rest is not${why}. Send the delete again.`,
    { cause },
  );
}
