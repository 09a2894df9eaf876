// Collects a response in memory, up to a size limit.

import { NodeError } from './node-error.ts';
import type { NodeHeaders, NodeResponse, ResponseSink } from './node-request.ts';
import { joinBuffers } from './request-body.ts';

export class BufferedResponse implements ResponseSink {
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
      throw new NodeError('too_large', `the response is larger than ${this.#bytesMax} bytes`, { sent: true });
    }
    this.#chunks.push(chunk);
  }

  response(): NodeResponse {
    return { status: this.#status, headers: this.#headers, body: joinBuffers(this.#chunks) };
  }
}
