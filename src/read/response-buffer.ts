// Buffers a node's response until it is complete; one too large for that is forwarded to its reader as it arrives.

import type { NodeHeaders, ResponseFlow, ResponseSink } from '../chroma/client/node-request.ts';
import type { ResponseWriter } from '../http/response.ts';
import type { ResponseBudget, UnreadResponse } from '../http/response-budget.ts';

// Responses up to this size are buffered, so that the failure of a node in mid-response is invisible: the read is
// retried on another node.
export const BUFFERED_BYTES_MAX = 8 * 1024 * 1024;
// Buffered even when the budget is exhausted: about what a node's connection delivers at once, and those are few.
export const SMALL_BYTES = 64 * 1024;

export class ResponseBuffer implements ResponseSink {
  status = 0;
  headers: NodeHeaders = {};
  /** Whether the response has to be forwarded; the node is paused until it is. */
  isTooLarge = false;
  /** Resolves when the response turns out to be too large. */
  readonly overflowed: Promise<void>;
  readonly #budget: ResponseBudget;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes to give back to the budget. */
  #budgeted = 0;
  #unread: UnreadResponse | null = null;
  #flow: ResponseFlow | null = null;
  #writer: ResponseWriter | null = null;
  #onOverflow: () => void = () => undefined;

  constructor(budget: ResponseBudget) {
    this.#budget = budget;
    this.overflowed = new Promise((resolve) => (this.#onOverflow = resolve));
  }

  head(status: number, headers: NodeHeaders, flow: ResponseFlow): void {
    this.status = status;
    this.headers = headers;
    this.#flow = flow;
  }

  data(chunk: Buffer): void {
    if (this.#writer !== null) return this.#forward(chunk, this.#writer);
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.isTooLarge || this.#canBuffer(chunk.length)) return;
    this.isTooLarge = true;
    this.#flow?.pause();
    this.#onOverflow();
  }

  body(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  get contentType(): string {
    const type = this.headers['content-type'];
    return typeof type === 'string' ? type : 'application/json';
  }

  /**
   * Writes what is buffered and everything that follows, at the reader's pace. `cancel` ends the node's call when the
   * reader stalls. Rejects never, and resolves never: the node's call says when the response is complete.
   */
  async forwardTo(writer: ResponseWriter, cancel: () => void): Promise<never> {
    this.#writer = writer;
    const unread = this.#budget.waits(this.#budgeted, cancel);
    this.#unread = unread;
    this.#budgeted = 0;
    for (let chunk = this.#chunks.shift(); chunk !== undefined; chunk = this.#chunks.shift()) {
      await writer.write(chunk);
      unread.taken(chunk.length);
    }
    unread.over();
    this.#flow?.resume();
    return new Promise(() => undefined);
  }

  /** The node's call has ended: gives back what is still budgeted. */
  release(): void {
    this.#budget.giveBack(this.#budgeted);
    this.#budgeted = 0;
    this.#unread?.over();
  }

  #canBuffer(bytes: number): boolean {
    this.#budgeted += bytes;
    if (this.#bytes <= BUFFERED_BYTES_MAX && this.#budget.tryHold(bytes)) return true;
    // The chunk is in memory already, with or without room for it.
    this.#budget.hold(bytes);
    return this.#bytes <= SMALL_BYTES;
  }

  #forward(chunk: Buffer, writer: ResponseWriter): void {
    this.#flow?.pause();
    void writer.write(chunk).then(() => this.#flow?.resume());
  }
}
