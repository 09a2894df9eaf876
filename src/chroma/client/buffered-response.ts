// What read() and mutate() hand out: an answer held whole, up to a bound.

import type { AnswerSink, NodeHeaders, NodeResponse } from './node-client.ts';
import { gather } from './request-body.ts';
import { NodeError } from './verified-connector.ts';

/** Collects an answer in memory. */
export class BufferedAnswer implements AnswerSink {
  readonly #bytesMax: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #headers: NodeHeaders = {};

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  head(status: number, headers: NodeHeaders): void {
    this.#status = status;
    this.#headers = headers;
  }

  data(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) {
      throw new NodeError('too_large', `the answer is larger than ${this.#bytesMax} bytes`, { sent: true });
    }
    this.#chunks.push(chunk);
  }

  response(): NodeResponse {
    return { status: this.#status, headers: this.#headers, body: gather(this.#chunks) };
  }
}
