// Scans large bodies in a thread of its own, so that the event loop is never held for more than some milliseconds:
// the scanner reads about 500 MB/s, and a body may have 40 MiB. Bodies are handed over and back, not copied.

import { Worker } from 'node:worker_threads';
import type { Capabilities, RecordCall, RecordKind, Refusal } from './record-call.ts';
import { scanRecordCall } from './scanner.ts';

/** Up to here a body is scanned where it arrived: some 4 ms. */
const LARGE_BYTES = 2 * 1024 * 1024;

export interface ScanTask {
  readonly number: number;
  readonly kind: RecordKind;
  readonly bytes: Uint8Array;
  readonly capabilities: Capabilities;
}

export interface ScanResult {
  readonly number: number;
  /** The body, handed back. */
  readonly bytes: Uint8Array;
  readonly result: Omit<RecordCall, 'body'> | Refusal;
}

interface Waiting {
  readonly resolve: (result: RecordCall | Refusal) => void;
  readonly reject: (error: Error) => void;
}

export class LargeScanner {
  #worker: Worker | null = null;
  #next = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** As scanRecordCall. `body` of a large call is emptied: use the body of the result. */
  scan(
    kind: RecordKind,
    body: Buffer,
    capabilities: Capabilities,
  ): Promise<RecordCall | Refusal> | RecordCall | Refusal {
    // A slice of a shared pool cannot be handed over; those are small.
    const whole = body.byteOffset === 0 && body.byteLength === body.buffer.byteLength;
    if (body.length <= LARGE_BYTES || !whole) return scanRecordCall(kind, body, capabilities);
    const task: ScanTask = { number: this.#next++, kind, bytes: body, capabilities };
    return new Promise((resolve, reject) => {
      this.#waiting.set(task.number, { resolve, reject });
      this.#thread().postMessage(task, [body.buffer as ArrayBuffer]);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }

  #thread(): Worker {
    if (this.#worker !== null) return this.#worker;
    // In a checkout the sources run as they are; a release runs what was compiled from them.
    const file = import.meta.url.endsWith('.ts') ? './scan-thread.ts' : './scan-thread.js';
    const worker = new Worker(new URL(file, import.meta.url));
    worker.unref();
    worker.on('message', ({ number, bytes, result }: ScanResult) => {
      const waiting = this.#waiting.get(number);
      this.#waiting.delete(number);
      const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      waiting?.resolve('status' in result ? result : { ...result, body });
    });
    worker.on('error', (error) => {
      this.#worker = null;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
    this.#worker = worker;
    return worker;
  }
}
