// Reading one request body: admitted against the byte budget first, then read into one piece, within bounds of size,
// time and progress.

import type { IncomingMessage } from 'node:http';
import type { Clock } from '../util/clock.ts';
import { SMALL_BODY_BYTES, type ByteBudget, type ByteReservation } from './byte-budget.ts';

/**
 * Why there is no body.
 * - `too_large`: over the bound. `too_slow`: over a time bound. `client_gone`: the connection ended before it did.
 * - `malformed`: its chunks cannot be parsed.
 */
export type BodyFailure = 'too_large' | 'too_slow' | 'client_gone' | 'malformed';

export class BodyError extends Error {
  override readonly name = 'BodyError';
  readonly failure: BodyFailure;

  constructor(failure: BodyFailure) {
    super(failure);
    this.failure = failure;
  }
}

export interface ReceivedBody {
  readonly bytes: Buffer;
  /** To be released when the response has been sent. */
  readonly reservation: ByteReservation;
}

export interface BodyReaderOptions {
  readonly budget: ByteBudget;
  readonly clock: Clock;
  readonly maxBytes: number;
  /** For a whole body; ms. */
  readonly deadlineMs: number;
}

// A body must progress by this much in each period, or be complete. A slow link is far faster; a client that sends a
// byte at a time to hold its share of the budget is not.
const PROGRESS_PERIOD_MS = 10_000;
const PROGRESS_BYTES = 10 * 1024;

const EMPTY = Buffer.alloc(0);

/** The length a request declares; null when it is sent in chunks. */
export function declaredLength(request: IncomingMessage): number | null {
  if (request.headers['transfer-encoding'] !== undefined) return null;
  const length = request.headers['content-length'];
  return length === undefined ? 0 : Number(length); // the parser accepts digits only
}

/** Reads bodies for one server; all of them share its budget and one timer. */
export class BodyReader {
  readonly #options: BodyReaderOptions;
  readonly #uploads = new Set<Upload>();
  #watching = false;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
  }

  /**
   * The whole body. `begin` is called once it is admitted: the place to send "100 Continue". Rejects with BodyError,
   * or PolychromeError `overloaded`.
   */
  async read(request: IncomingMessage, begin: () => void): Promise<ReceivedBody> {
    const { budget, maxBytes } = this.#options;
    const length = declaredLength(request);
    if (length !== null && length > maxBytes) throw new BodyError('too_large');
    const admitted = length ?? SMALL_BODY_BYTES;
    const reservation = budget.tryAcquire(admitted) ?? (await this.#wait(request, admitted));
    begin();
    try {
      if (length === 0) return { bytes: EMPTY, reservation };
      if (length !== null)
        return { bytes: await this.#receive(request, new SizedUpload(length)), reservation };
      return await this.#readChunked(request, reservation);
    } catch (error) {
      reservation.release();
      throw error;
    }
  }

  // A body of unknown length begins with the share of a small one; if it is larger, it is admitted again for the largest
  // size. Growing piece by piece could end with many half-read bodies that all wait for one another.
  async #readChunked(request: IncomingMessage, small: ByteReservation): Promise<ReceivedBody> {
    const { budget, maxBytes } = this.#options;
    const upload = new ChunkedUpload(SMALL_BODY_BYTES, maxBytes);
    let bytes = await this.#receive(request, upload);
    if (upload.complete) {
      small.shrinkTo(bytes.length);
      return { bytes, reservation: small };
    }
    const rest = maxBytes - small.bytes;
    const more = budget.tryAcquire(rest) ?? (await this.#wait(request, rest));
    try {
      upload.limit = maxBytes;
      bytes = await this.#receive(request, upload);
    } catch (error) {
      more.release();
      throw error;
    }
    more.shrinkTo(Math.max(0, bytes.length - small.bytes));
    return { bytes, reservation: bothOf(small, more) };
  }

  async #wait(request: IncomingMessage, bytes: number): Promise<ByteReservation> {
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    request.once('close', onClose);
    try {
      return await this.#options.budget.acquire(bytes, gone.signal);
    } catch (error) {
      throw gone.signal.aborted ? new BodyError('client_gone') : error;
    } finally {
      request.off('close', onClose);
    }
  }

  #receive(request: IncomingMessage, upload: SizedUpload | ChunkedUpload): Promise<Buffer> {
    if (request.destroyed && !request.complete) return Promise.reject(new BodyError('client_gone'));
    return new Promise((resolve, reject) => {
      const finish = (failure: BodyFailure | null): void => {
        this.#uploads.delete(watched);
        request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
        if (failure === null) resolve(upload.take());
        else reject(new BodyError(failure));
      };
      const onData = (chunk: Buffer): void => {
        watched.receivedBytes += chunk.length;
        const state = upload.add(chunk);
        if (state === 'more') return;
        request.pause();
        finish(state === 'too_large' ? 'too_large' : null);
      };
      const onEnd = (): void => {
        upload.complete = true;
        finish(null);
      };
      const onClose = (): void => finish('client_gone');
      const watched = this.#watch(() => finish('too_slow'));
      request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
      request.resume();
    });
  }

  #watch(tooSlow: () => void): Upload {
    const nowMs = this.#options.clock.monotonic();
    const upload: Upload = { startedMs: nowMs, periodMs: nowMs, periodBytes: 0, receivedBytes: 0, tooSlow };
    this.#uploads.add(upload);
    if (!this.#watching) this.#scheduleCheck();
    return upload;
  }

  // One timer for all bodies, and none while there is no body: a timer for each would cost more than a small body.
  #scheduleCheck(): void {
    this.#watching = true;
    this.#options.clock.after(PROGRESS_PERIOD_MS / 10, () => {
      const nowMs = this.#options.clock.monotonic();
      for (const upload of this.#uploads) this.#check(upload, nowMs);
      this.#watching = false;
      if (this.#uploads.size > 0) this.#scheduleCheck();
    });
  }

  #check(upload: Upload, nowMs: number): void {
    if (nowMs - upload.startedMs >= this.#options.deadlineMs) return upload.tooSlow();
    if (nowMs - upload.periodMs < PROGRESS_PERIOD_MS) return;
    if (upload.receivedBytes - upload.periodBytes < PROGRESS_BYTES) return upload.tooSlow();
    upload.periodMs = nowMs;
    upload.periodBytes = upload.receivedBytes;
  }
}

interface Upload {
  readonly startedMs: number;
  periodMs: number;
  periodBytes: number;
  receivedBytes: number;
  readonly tooSlow: () => void;
}

type Progress = 'more' | 'too_large' | 'enough';

/** A body whose length is known: one allocation, or none when it arrives in one piece. */
class SizedUpload {
  complete = false;
  readonly #length: number;
  #bytes: Buffer = EMPTY;
  #filled = 0;

  constructor(length: number) {
    this.#length = length;
  }

  add(chunk: Buffer): Progress {
    if (this.#filled === 0 && chunk.length === this.#length) {
      this.#bytes = chunk; // the parser's own copy, not used elsewhere
    } else {
      // Not from Buffer's pool: a body in use would keep a whole slab in memory.
      if (this.#filled === 0) this.#bytes = Buffer.allocUnsafeSlow(this.#length);
      chunk.copy(this.#bytes, this.#filled);
    }
    this.#filled += chunk.length;
    return 'more'; // the end is an event of its own
  }

  take(): Buffer {
    return this.#bytes;
  }
}

/** A body sent in chunks: collected, and put together once. */
class ChunkedUpload {
  complete = false;
  limit: number;
  readonly #max: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(limit: number, max: number) {
    this.limit = limit;
    this.#max = max;
  }

  add(chunk: Buffer): Progress {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > this.#max) return 'too_large';
    return this.#bytes > this.limit ? 'enough' : 'more';
  }

  take(): Buffer {
    if (!this.complete) return EMPTY;
    const [only] = this.#chunks;
    if (only !== undefined && this.#chunks.length === 1) return only;
    const body = Buffer.allocUnsafeSlow(this.#bytes); // see SizedUpload
    let at = 0;
    for (const chunk of this.#chunks) at += chunk.copy(body, at);
    return body;
  }
}

function bothOf(first: ByteReservation, second: ByteReservation): ByteReservation {
  return {
    get bytes() {
      return first.bytes + second.bytes;
    },
    shrinkTo(bytes) {
      second.shrinkTo(Math.max(0, bytes - first.bytes));
      first.shrinkTo(Math.min(first.bytes, bytes));
    },
    release() {
      second.release();
      first.release();
    },
  };
}
