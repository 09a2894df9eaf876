// Reads that an applier depends on, repeated until the node responds or has failed the entry for good.

import { type NodeClient } from '../chroma/client/node-client.ts';
import type { NodeResponse, ReadRequest } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Term } from '../coordination/term.ts';
import { isUnanswerable } from '../chroma/protocol/response-effect.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { CallFailed } from './delivery.ts';
import { TermOver } from '../coordination/term.ts';
import type { Failure, Trials } from './trials.ts';

export interface NodeReadsOptions {
  readonly node: string;
  readonly client: Pick<NodeClient, 'read'>;
  readonly clock: Clock;
  readonly trials: Pick<Trials, 'failed' | 'of'>;
  readonly attemptsMax: number;
  /** Why the node's canary fails; null when it succeeds. */
  readonly canary: () => Promise<string | null>;
  readonly onTrouble: (error: Error) => void;
}

// A selection over a large collection takes a stock server seconds; beyond this it hangs.
const DEADLINE_MS = 60_000;
const PAUSE_MS = 200;

export class NodeReads {
  readonly #options: NodeReadsOptions;

  constructor(options: NodeReadsOptions) {
    this.#options = options;
  }

  /**
   * The node's response, of status below 500 or one that any node would give. Throws CallFailed when the entry at `lsn`
   * has used up its attempts while the node's canary succeeds, NodeError `too_large` at once, TermOver.
   */
  async read(
    request: Omit<ReadRequest, 'deadlineMs' | 'signal'>,
    lsn: number,
    term: Term,
  ): Promise<NodeResponse> {
    const { client, clock, onTrouble } = this.#options;
    for (;;) {
      if (!term.held()) throw new TermOver();
      let failure: Failure | null = null;
      try {
        const response = await client.read({ ...request, deadlineMs: DEADLINE_MS, signal: term.signal });
        if (response.status < 500 || isUnanswerable(response)) return response;
        failure = { kind: 'response', status: response.status, body: response.body };
        onTrouble(new Error(`HTTP ${response.status} to a read: ${response.body.toString('utf8', 0, 300)}`));
      } catch (error) {
        if (term.signal.aborted) throw new TermOver();
        if (error instanceof NodeError && error.code === 'too_large') throw error;
        failure = failureOf(error);
        onTrouble(error as Error);
      }
      if (failure !== null) await this.#count(failure, lsn, term);
      await sleep(clock, PAUSE_MS, term.signal);
    }
  }

  /**
   * Reads for the effect on the server. Whether it responded with success; false after `attemptsMax` failures over some
   * seconds while the node's canary succeeds. They count against no entry. Throws TermOver.
   */
  async touch(request: Omit<ReadRequest, 'deadlineMs' | 'signal'>, term: Term): Promise<boolean> {
    const { client, clock, attemptsMax, onTrouble, canary } = this.#options;
    for (let failures = 0; failures < attemptsMax;) {
      if (!term.held()) throw new TermOver();
      let hasFailed = true;
      try {
        const { status } = await client.read({ ...request, deadlineMs: DEADLINE_MS, signal: term.signal });
        if (status < 300) return true;
        onTrouble(new Error(`HTTP ${status} to a read`));
      } catch (error) {
        if (term.signal.aborted) throw new TermOver();
        // A node that cannot be reached has not failed to read.
        hasFailed = failureOf(error) !== null;
        onTrouble(error as Error);
      }
      // A node in trouble of its own fails every read.
      if (hasFailed && (await canary()) === null) failures++;
      await sleep(clock, PAUSE_MS * 2 ** failures, term.signal);
    }
    return false;
  }

  async #count(failure: Failure, lsn: number, term: Term): Promise<void> {
    const { node, trials, attemptsMax, canary } = this.#options;
    // A dropped connection is counted before the canary, which a node that is gone would fail.
    if (failure.kind !== 'response') trials.failed(node, [lsn], failure);
    if ((await canary()) !== null) return;
    if (failure.kind === 'response') trials.failed(node, [lsn], failure);
    if (!term.held()) throw new TermOver();
    // A read that hangs is tried on one more node, and not again on this one.
    const isOver = failure.kind === 'hung' || (trials.of(lsn).get(node)?.alone ?? 0) >= attemptsMax;
    if (isOver) throw new CallFailed(failure);
  }
}

/** Null when the request did not reach the node. */
function failureOf(error: unknown): Failure | null {
  if (!(error instanceof NodeError) || !error.sent || error.code === 'aborted') return null;
  const kind = error.code === 'timeout' ? 'hung' : 'dropped';
  return { kind, status: 0, body: Buffer.from(error.message) };
}
