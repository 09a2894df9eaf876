// Scans large bodies in a worker thread, so that the event loop is blocked for some milliseconds at most.
//
// The scanner reads about 500 MB/s, and a body may have 40 MiB. Bodies are transferred to the thread and back, not copied.

import { Worker } from 'node:worker_threads';
import type { RecordCall, RecordKind, ScanLimits } from './record-call.ts';
import { EncodedIds } from './record-ids.ts';
import { removeOlderParts, type OlderSelection } from './older-request.ts';
import { isRefusal, type Refusal } from './refusal.ts';
import { outlineOf, type OutlinedAction, type RequestOutline } from './request-outline.ts';
import { scanFirstAccepted } from './scanner.ts';

/** Bodies up to this size are scanned on the event loop: 0.5 ms of long values, 10 ms of the shortest ids. */
const LARGE_BYTES = 256 * 1024;

type Task =
  | { readonly type: 'scan'; readonly kind: RecordKind; readonly levels: readonly ScanLimits[] }
  | { readonly type: 'outline'; readonly action: OutlinedAction }
  | { readonly type: 'older' };

export type ScanTask = Task & { readonly number: number; readonly bytes: Uint8Array };

export interface ScanResult {
  readonly number: number;
  /** The body, transferred back. */
  readonly bytes: Uint8Array;
  readonly result: ScannedCall | Refusal | RequestOutline | OlderSelection | null;
}

/** A call without what the body contains: of many ids only their number. */
export interface ScannedCall extends Omit<RecordCall, 'body' | 'ids'> {
  readonly ids: readonly string[] | number;
  /** A call may end before its body does. */
  readonly bodyBytes: number;
}

/** A scanned body; a large one is another Buffer than the one that was passed in. */
export interface StoredScan {
  readonly scanned: RecordCall | Refusal;
  readonly body: Buffer;
}

/** A request's outline and its body; a large body is another Buffer than the one that was passed in. */
export interface Outlined {
  readonly outline: RequestOutline;
  readonly body: Buffer;
  readonly isLarge: boolean;
}

/** What a request selects and its body, changed in place; a large body is another Buffer than the one passed in. */
export interface OlderBody {
  /** Null: the body is no JSON object. */
  readonly selection: OlderSelection | null;
  readonly body: Buffer;
}

interface PendingScan {
  readonly resolve: (result: ScanResult['result'], body: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class LargeScanner {
  #worker: Worker | null = null;
  #next = 0;
  readonly #pending = new Map<number, PendingScan>();

  /** As scanRecordCall. A large `body` is detached: use the body of the result. */
  scan(
    kind: RecordKind,
    body: Buffer,
    capabilities: ScanLimits,
  ): Promise<RecordCall | Refusal> | RecordCall | Refusal {
    const scan = this.scanStored(kind, body, [capabilities]);
    return 'scanned' in scan ? scan.scanned : scan.then(({ scanned }) => scanned);
  }

  /** The call by the first of these levels that accepts it. A large `body` is detached: use the body of the result. */
  scanStored(
    kind: RecordKind,
    body: Buffer,
    levels: readonly ScanLimits[],
  ): Promise<StoredScan> | StoredScan {
    if (!isLarge(body)) return { scanned: scanFirstAccepted(kind, body, levels), body };
    return this.#run({ type: 'scan', kind, levels }, body, (result, returned) => {
      const scanned = result as ScannedCall | Refusal;
      return { scanned: isRefusal(scanned) ? scanned : calledWith(scanned, returned), body: returned };
    });
  }

  /** As outlineOf. A large `body` is detached: use the body of the result. */
  outline(action: OutlinedAction, body: Buffer): Promise<Outlined> | Outlined {
    if (!isLarge(body)) return { outline: outlineOf(action, body), body, isLarge: false };
    return this.#run({ type: 'outline', action }, body, (result, returned) => ({
      outline: result as RequestOutline,
      body: returned,
      isLarge: true,
    }));
  }

  /** As removeOlderParts. A large `body` is detached: use the body of the result. */
  withoutOlderParts(body: Buffer): Promise<OlderBody> | OlderBody {
    if (!isLarge(body)) return { selection: removeOlderParts(body), body };
    return this.#run({ type: 'older' }, body, (result, returned) => ({
      selection: result as OlderSelection | null,
      body: returned,
    }));
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }

  #run<Result>(
    task: Task,
    body: Buffer,
    take: (result: ScanResult['result'], returned: Buffer) => Result,
  ): Promise<Result> {
    const number = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(number, { resolve: (...given) => resolve(take(...given)), reject });
      this.#thread().postMessage({ ...task, number, bytes: body }, [body.buffer as ArrayBuffer]);
    });
  }

  #thread(): Worker {
    if (this.#worker !== null) return this.#worker;
    // A checkout runs the TypeScript sources, a release the compiled files.
    const file = import.meta.url.endsWith('.ts') ? './scan-thread.ts' : './scan-thread.js';
    const worker = new Worker(new URL(file, import.meta.url));
    worker.unref();
    worker.on('message', ({ number, bytes, result }: ScanResult) => {
      const pending = this.#pending.get(number);
      this.#pending.delete(number);
      pending?.resolve(result, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    });
    worker.on('error', (error) => {
      this.#worker = null;
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    });
    this.#worker = worker;
    return worker;
  }
}

function calledWith({ ids, bodyBytes, ...call }: ScannedCall, returned: Buffer): RecordCall {
  const body = returned.subarray(0, bodyBytes);
  return { ...call, body, ids: typeof ids === 'number' ? new EncodedIds(body, call.idSlice, ids) : ids };
}

// A slice of a shared pool cannot be transferred; such bodies are small.
function isLarge(body: Buffer): boolean {
  return body.length > LARGE_BYTES && body.byteOffset === 0 && body.byteLength === body.buffer.byteLength;
}
