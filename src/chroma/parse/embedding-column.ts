// Reads and validates the `embeddings` column: arrays of numbers, or base64 strings of little-endian 32-bit floats.
//
// Nearly all bytes of a write are here, so the loop over components is written for speed.

import {
  ARRAY_OPEN,
  COMMA,
  DOT,
  isDigit,
  LETTER_N,
  MINUS,
  QUOTE,
  ZERO,
  type JsonCursor,
  type Slice,
} from './json.ts';
import type { Faults } from './faults.ts';
import type { BodyCapabilities, RecordKind } from './record-call.ts';
import { refuseVariant } from './refusal.ts';

// From half a unit above the largest 32-bit float (3.4028234663852886e38) the server rounds up to infinity and later
// returns null (observed: 3.4028235677973366e38). The limit is a little lower, so that the server's own inexact parsing
// of doubles cannot cross it.
const FLOAT32_LIMIT = 3.4028235677e38;
// A number with at most this many digits before its point is within the range of a 32-bit float.
const SAFE_DIGITS = 38;

// The messages of a 1.3.4 server; a 1.0.5 server accepts such vectors and returns them as null.
const NOT_FINITE = 'Validation error: embeddings: Embeddings must not contain NaN or Infinity values';
const EMPTY = 'Validation error: embeddings: Each embedding must have at least 1 dimension';

export interface EmbeddingColumn {
  readonly slice: Slice;
  readonly count: number;
  /** Length of every embedding; null without embeddings. */
  readonly dimension: number | null;
  readonly encoding: 'floats' | 'base64' | null;
}

export interface EmbeddingsOptions {
  readonly kind: RecordKind;
  readonly capabilities: Pick<BodyCapabilities, 'base64Embeddings' | 'metadataArrays'>;
  /** Collects what Chroma would not accept. */
  readonly faults: Faults;
}

/** Consumes the value of `embeddings`; throws RefusedBody when it has the wrong shape. */
export function readEmbeddings(cursor: JsonCursor, options: EmbeddingsOptions): EmbeddingColumn {
  const start = cursor.pos;
  const { kind } = options;
  const column = new EmbeddingReader(cursor, options).read();
  if (column !== null) return column;
  // The server reads the whole value before it tries the variants, so syntax errors come first.
  cursor.pos = start;
  cursor.value(true, 1);
  const type = kind === 'update' ? 'UpdateEmbeddingsPayload' : 'EmbeddingsPayload';
  refuseVariant(cursor, 'embeddings: ', type);
}

class EmbeddingReader {
  readonly #cursor: JsonCursor;
  readonly #faults: Faults;
  readonly #nullable: boolean;
  readonly #base64: boolean;
  readonly #isNew: boolean;
  #count = 0;
  #dimension: number | null = null;
  #encoding: 'floats' | 'base64' | null = null;
  #someEmpty = false;
  #someInfinite = false;

  constructor(cursor: JsonCursor, { kind, capabilities, faults }: EmbeddingsOptions) {
    this.#cursor = cursor;
    this.#faults = faults;
    this.#nullable = kind === 'update';
    this.#base64 = capabilities.base64Embeddings;
    this.#isNew = capabilities.metadataArrays;
  }

  /** The column; null when the value has another shape. */
  read(): EmbeddingColumn | null {
    const cursor = this.#cursor;
    if (cursor.peek() !== ARRAY_OPEN) return null;
    const start = cursor.pos + 1;
    if (cursor.openArray()) {
      do {
        if (!this.#embedding()) return null;
        this.#count++;
      } while (cursor.nextElement());
    }
    this.#addFaults();
    return {
      slice: { start, end: cursor.pos - 1 },
      count: this.#count,
      dimension: this.#dimension,
      encoding: this.#encoding,
    };
  }

  #embedding(): boolean {
    const cursor = this.#cursor;
    const byte = cursor.peek();
    if (byte === LETTER_N && this.#nullable) {
      cursor.literal('null');
      return true;
    }
    const encoding = byte === ARRAY_OPEN ? 'floats' : 'base64';
    if (encoding === 'base64' && (byte !== QUOTE || !this.#base64)) return false;
    if (this.#encoding !== null && this.#encoding !== encoding) return false;
    this.#encoding = encoding;
    const dimension = encoding === 'floats' ? this.#floats() : this.#base64Floats();
    if (dimension === null) return false;
    this.#compare(dimension);
    return true;
  }

  #compare(dimension: number): void {
    // An update is validated vector by vector: the first faulty one determines the message.
    if (dimension === 0) this.#someEmpty ||= !(this.#nullable && this.#someInfinite);
    if (this.#dimension === null) this.#dimension = dimension;
    else if (this.#dimension !== dimension) {
      this.#faults.add('mixed', 'Inconsistent dimensions in provided embeddings');
    }
  }

  // A 1.0.5 server stores a vector with infinity and returns null. An empty one in an update fixes the dimension at 0,
  // whatever else is wrong, and the collection stays unreadable: so it is reported first.
  #addFaults(): void {
    const emptyAt = this.#nullable && !this.#isNew ? 'mixed' : 'embeddings';
    if (this.#someEmpty) this.#faults.add(emptyAt, EMPTY);
    if (this.#someInfinite) this.#faults.add(this.#isNew ? 'embeddings' : 'unsafe', NOT_FINITE);
  }

  // Returns the number of components; null when one is not a number.
  #floats(): number | null {
    const cursor = this.#cursor;
    const { bytes } = cursor;
    if (!cursor.openArray()) return 0;
    let { pos } = cursor;
    for (let count = 1; ; count++) {
      let byte = bytes[pos] ?? 0;
      while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++pos] ?? 0;
      const start = pos;
      if (byte === MINUS) byte = bytes[++pos] ?? 0;
      const first = pos;
      if (byte === ZERO) byte = bytes[++pos] ?? 0;
      else while (byte >= 0x30 && byte <= 0x39) byte = bytes[++pos] ?? 0;
      if (byte === DOT && pos > first) {
        byte = bytes[++pos] ?? 0;
        // A point without a digit after it must not pass the check for the comma below.
        if (!isDigit(byte)) byte = 0;
        else while (byte >= 0x30 && byte <= 0x39) byte = bytes[++pos] ?? 0;
      }
      if (byte === COMMA && pos > first && pos - first <= SAFE_DIGITS) {
        pos++;
        continue;
      }
      // The last of the array, or not a short plain number directly before a comma: read it with all checks.
      cursor.pos = start;
      if (!this.#component()) return null;
      if (!cursor.nextElement()) return count;
      pos = cursor.pos;
    }
  }

  #component(): boolean {
    const cursor = this.#cursor;
    const byte = cursor.peek();
    if (byte !== MINUS && !isDigit(byte)) return false;
    const start = cursor.pos;
    cursor.number();
    if (cursor.numberMagnitude <= SAFE_DIGITS) return true;
    const size = Math.abs(cursor.numberSince(start));
    if (size === Infinity) cursor.fail('number out of range', cursor.pos - 1);
    if (size >= FLOAT32_LIMIT) this.#someInfinite = true;
    return true;
  }

  #base64Floats(): number {
    const cursor = this.#cursor;
    const start = cursor.pos;
    cursor.string(true);
    const text = cursor.decoded(start);
    const floats = Buffer.from(text, 'base64');
    // Node decodes leniently; only canonical base64 survives the round trip, and the server accepts no other.
    if (floats.toString('base64') !== text) {
      this.#undecodable(`Invalid base64 string: ${base64Fault(text)}`);
    }
    if (floats.length % 4 !== 0) {
      const rest = 'bytes cannot be converted to f32 values (must be divisible by 4)';
      this.#undecodable(`Invalid byte length: ${floats.length} ${rest}`);
    }
    for (let high = 3; high < floats.length; high += 4) {
      // All exponent bits set: infinity or NaN, which the server stores and returns as null.
      if (((floats[high] ?? 0) & 0x7f) === 0x7f && (floats[high - 1] ?? 0) >= 0x80) {
        this.#notFinite(floats, high - 3);
        break;
      }
    }
    return floats.length >> 2;
  }

  // NEW: the server finds it while decoding and reports it so.
  #notFinite(floats: Buffer, at: number): void {
    const value = floats.readFloatLE(at);
    const name = Number.isNaN(value) ? 'NaN' : value > 0 ? 'inf' : '-inf';
    if (this.#isNew) this.#undecodable(`Non-finite float value at embedding index ${at >> 2}: ${name}`);
    else this.#someInfinite = true;
  }

  #undecodable(message: string): void {
    this.#faults.add('decoding', this.#isNew ? message : `Base64 decoding error: ${message}`);
  }
}

// The message of the server's decoder (the base64 crate) for text that is not canonical base64.
function base64Fault(text: string): string {
  const bytes = Buffer.from(text);
  const symbols = /^[A-Za-z0-9+/]*/.exec(text)?.[0].length ?? 0;
  if (!/^={0,2}$/.test(text.slice(symbols))) return `Invalid symbol ${bytes[symbols]}, offset ${symbols}.`;
  if (bytes.length % 4 === 1) return `Invalid input length: ${bytes.length}`;
  if (bytes.length % 4 !== 0) return 'Invalid padding';
  return `Invalid last symbol ${bytes[symbols - 1]}, offset ${symbols - 1}.`;
}
