// Reads JSON byte by byte without building values, with the rules and messages of Chroma's serde_json.
//
// `strict` means that serde deserializes the value, as opposed to ignoring it: nesting is limited, `\u` escapes must pair
// up, numbers must fit a double. Observed on a 1.0.5 server.

import { isUtf8 } from 'node:buffer';

/** Half-open range of byte offsets in the text that was read. */
export interface Slice {
  readonly start: number;
  readonly end: number;
}

/**
 * Place of an error in an array or object: `inside` an element or the value of a member, `between` two of them or before
 * the first, `after_key` between a key and its value.
 */
export type FaultPlace = 'inside' | 'between' | 'after_key';

/** The text is not JSON; `offset` is the faulty byte, `token` the first byte of its token. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';
  readonly offset: number;
  readonly token: number;
  readonly place: FaultPlace;

  constructor(message: string, at: { offset: number; token: number; place: FaultPlace }) {
    super(message);
    this.offset = at.offset;
    this.token = at.token;
    this.place = at.place;
  }
}

// serde_json fails when its counter of 128 reaches zero, so 127 levels pass (serde_json, de.rs, remaining_depth).
const DEPTH_MAX = 127;
const LEVELS_AT_FIRST = 32;
// Larger exponents do not change any comparison made here, and a bounded counter cannot overflow.
const EXPONENT_MAX = 1_000_000;

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const BACKSLASH = 0x5c;
export const ARRAY_OPEN = 0x5b;
export const ARRAY_CLOSE = 0x5d;
export const OBJECT_OPEN = 0x7b;
export const OBJECT_CLOSE = 0x7d;
export const MINUS = 0x2d;
export const LETTER_F = 0x66;
export const LETTER_N = 0x6e;
export const LETTER_T = 0x74;
export const DOT = 0x2e;
const PLUS = 0x2b;
export const ZERO = 0x30;
const LETTER_E = 0x65;
const LETTER_U = 0x75;

// Bytes at which a run of plain string bytes ends: the quote, the backslash, and the control characters.
const ENDS_RUN = new Uint8Array(256);
ENDS_RUN.fill(1, 0, 0x20);
ENDS_RUN[QUOTE] = 1;
ENDS_RUN[BACKSLASH] = 1;

const SHORT_ESCAPES = new Uint8Array(256);
for (const letter of '"\\/bfnrt') SHORT_ESCAPES[letter.charCodeAt(0)] = 1;

export function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

export function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** A position in a JSON text, moved by reading tokens. Past the end it reads 0, which no token allows. */
export class JsonCursor {
  readonly bytes: Buffer;
  /** Whether strings may be invalid UTF-8, which serde reports at the end of each string that it deserializes. */
  readonly #checksUtf8: boolean;
  pos = 0;
  /** Whether the last string had escapes, and whether it had bytes above 0x7f. */
  stringEscaped = false;
  stringWide = false;
  /** Whether the last number had neither fraction nor exponent. */
  numberIsInteger = false;
  /** The last number is less than ten to this power. */
  numberMagnitude = 0;
  /** For each level open inside the value that `value` reads: 1 for an object, 0 for an array. */
  #isObject = new Uint8Array(LEVELS_AT_FIRST);
  #levels = 0;

  /** `checksUtf8`: the bytes are not known to be UTF-8. */
  constructor(bytes: Buffer, checksUtf8 = false) {
    this.bytes = bytes;
    this.#checksUtf8 = checksUtf8 && !isUtf8(bytes);
  }

  fail(message: string, offset: number = this.pos, place: FaultPlace = 'inside'): never {
    throw new JsonSyntaxError(message, { offset, token: Math.min(offset, this.pos), place });
  }

  /** Skips white space and returns the byte it stops at without consuming it. */
  peek(): number {
    const { bytes } = this;
    let pos = this.pos;
    let byte = bytes[pos] ?? 0;
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++pos] ?? 0;
    this.pos = pos;
    return byte;
  }

  /** Consumes the literal (`null`, `true`, `false`) that must be here. */
  literal(word: string): void {
    for (let index = 0; index < word.length; index++, this.pos++) {
      if (this.bytes[this.pos] !== word.charCodeAt(index)) {
        this.fail(this.pos < this.bytes.length ? 'expected ident' : 'EOF while parsing a value');
      }
    }
  }

  /** Consumes the string whose opening quote is here. */
  string(strict: boolean): void {
    const { bytes } = this;
    let pos = this.pos + 1;
    let seen = 0;
    this.stringEscaped = false;
    for (;;) {
      let byte = bytes[pos] ?? 0;
      while (ENDS_RUN[byte] === 0) {
        seen |= byte;
        byte = bytes[++pos] ?? 0;
      }
      if (byte === QUOTE) break;
      if (byte !== BACKSLASH) {
        if (pos >= bytes.length) this.fail('EOF while parsing a string', pos);
        this.fail('control character (\\u0000-\\u001F) found while parsing a string', pos);
      }
      this.stringEscaped = true;
      pos = this.#escape(pos, strict);
    }
    this.stringWide = seen > 0x7f;
    if (this.#checksUtf8 && strict && !isUtf8(bytes.subarray(this.pos, pos))) {
      this.fail('invalid unicode code point', pos);
    }
    this.pos = pos + 1;
  }

  /** The string of the quotes at `start` and before `pos`, just consumed by `string`. */
  decoded(start: number): string {
    const { bytes, pos } = this;
    if (!this.stringEscaped) {
      return bytes.toString(this.stringWide ? 'utf8' : 'latin1', start + 1, pos - 1);
    }
    return String(JSON.parse(bytes.toString('utf8', start, pos)));
  }

  /** Consumes a number; checks the grammar only, the caller checks the range by `numberMagnitude`. */
  number(): void {
    const { bytes } = this;
    let pos = this.pos;
    let byte = bytes[pos] ?? 0;
    if (byte === MINUS) byte = bytes[++pos] ?? 0;
    const first = pos;
    if (!isDigit(byte)) this.#badNumber(pos);
    if (byte === ZERO) byte = bytes[++pos] ?? 0;
    else while (isDigit(byte)) byte = bytes[++pos] ?? 0;
    this.numberIsInteger = true;
    this.numberMagnitude = pos - first;
    if (isDigit(byte)) this.#badNumber(pos);
    if (byte === DOT) {
      this.numberIsInteger = false;
      const fraction = ++pos;
      while (isDigit(bytes[pos] ?? 0)) pos++;
      if (pos === fraction) this.#badNumber(pos);
      byte = bytes[pos] ?? 0;
    }
    if ((byte | 0x20) === LETTER_E) pos = this.#exponent(pos);
    this.pos = pos;
  }

  /** The number from `start` to here as a double: only for comparing with a limit (I11). */
  numberSince(start: number): number {
    return Number(this.bytes.toString('latin1', start, this.pos));
  }

  /** Consumes a string, literal or number; `byte` is what `peek` returned. */
  scalar(byte: number, strict: boolean): void {
    if (byte === QUOTE) this.string(strict);
    else if (byte === MINUS || isDigit(byte)) {
      const start = this.pos;
      this.number();
      // 308: no shorter number leaves the range of a double.
      if (strict && this.numberMagnitude > 308 && !Number.isFinite(this.numberSince(start))) {
        this.fail('number out of range', this.pos - 1);
      }
    } else if (byte === LETTER_N) this.literal('null');
    else if (byte === LETTER_T) this.literal('true');
    else if (byte === LETTER_F) this.literal('false');
    else this.fail(this.pos < this.bytes.length ? 'expected value' : 'EOF while parsing a value');
  }

  /** Consumes any value; `depth` is the number of arrays and objects open around it. */
  value(strict: boolean, depth: number): void {
    // Without recursion, so no depth can overflow the stack.
    this.#levels = 0;
    for (;;) {
      const byte = this.peek();
      if (byte === ARRAY_OPEN || byte === OBJECT_OPEN) {
        if (strict && depth + this.#levels >= DEPTH_MAX) this.fail('recursion limit exceeded');
        const isObject = byte === OBJECT_OPEN;
        if (isObject ? this.openObject() : this.openArray()) {
          this.#open(isObject);
          if (isObject) this.#key(strict);
          continue;
        }
      } else this.scalar(byte, strict);
      if (!this.#closeAll(strict)) return;
    }
  }

  /** Consumes the bracket here: true when an element follows, false when the array is empty. */
  openArray(): boolean {
    this.pos++;
    if (this.peek() !== ARRAY_CLOSE) {
      if (this.pos >= this.bytes.length) this.fail('EOF while parsing a list', this.pos, 'between');
      return true;
    }
    this.pos++;
    return false;
  }

  /** As openArray, for the brace of an object and its first member. */
  openObject(): boolean {
    this.pos++;
    if (this.peek() !== OBJECT_CLOSE) return true;
    this.pos++;
    return false;
  }

  /** Consumes the key of a member; returns the position of its opening quote. */
  name(strict: boolean): number {
    if (this.peek() !== QUOTE) {
      // serde's deserializer expects a value after a comma; its reader of ignored values reports the object instead.
      const eof =
        strict && this.#followsComma() ? 'EOF while parsing a value' : 'EOF while parsing an object';
      this.fail(this.#atEnd(eof, 'key must be a string'), this.pos, 'between');
    }
    const start = this.pos;
    this.string(strict);
    return start;
  }

  /** Consumes the colon after a key. */
  colon(): void {
    if (this.peek() !== COLON) {
      this.fail(this.#atEnd('EOF while parsing an object', 'expected `:`'), this.pos, 'after_key');
    }
    this.pos++;
  }

  /** After an element: consumes the comma and returns true, or the closing bracket and returns false. */
  nextElement(): boolean {
    const byte = this.peek();
    if (byte === ARRAY_CLOSE) {
      this.pos++;
      return false;
    }
    if (byte !== COMMA) {
      this.fail(this.#atEnd('EOF while parsing a list', 'expected `,` or `]`'), this.pos, 'between');
    }
    this.pos++;
    if (this.peek() === ARRAY_CLOSE) this.fail('trailing comma', this.pos, 'between');
    if (this.pos >= this.bytes.length) this.fail('EOF while parsing a value', this.pos, 'between');
    return true;
  }

  /** After a member: consumes the comma and returns true, or the closing brace and returns false. */
  nextMember(): boolean {
    const byte = this.peek();
    if (byte === OBJECT_CLOSE) {
      this.pos++;
      return false;
    }
    if (byte !== COMMA) {
      this.fail(this.#atEnd('EOF while parsing an object', 'expected `,` or `}`'), this.pos, 'between');
    }
    this.pos++;
    if (this.peek() === OBJECT_CLOSE) this.fail('trailing comma', this.pos, 'between');
    return true;
  }

  /** Throws unless only white space is left. */
  end(): void {
    this.peek();
    if (this.pos < this.bytes.length) this.fail('trailing characters');
  }

  // After a complete value: closes the levels that end here. False when the outermost value is complete.
  #closeAll(strict: boolean): boolean {
    for (; this.#levels > 0; this.#levels--) {
      const isObject = this.#isObject[this.#levels - 1] === 1;
      if (isObject ? this.nextMember() : this.nextElement()) {
        if (isObject) this.#key(strict);
        return true;
      }
    }
    return false;
  }

  #open(isObject: boolean): void {
    if (this.#levels === this.#isObject.length) {
      const larger = new Uint8Array(2 * this.#levels);
      larger.set(this.#isObject);
      this.#isObject = larger;
    }
    this.#isObject[this.#levels++] = isObject ? 1 : 0;
  }

  #key(strict: boolean): void {
    this.name(strict);
    this.colon();
  }

  #followsComma(): boolean {
    let before = this.pos - 1;
    while (isSpace(this.bytes[before])) before--;
    return this.bytes[before] === COMMA;
  }

  #atEnd(eof: string, otherwise: string): string {
    return this.pos < this.bytes.length ? otherwise : eof;
  }

  #badNumber(offset: number): never {
    this.fail(offset < this.bytes.length ? 'invalid number' : 'EOF while parsing a value', offset);
  }

  // `pos` is at the `e`; returns the end of the number and adds the exponent to its magnitude.
  #exponent(pos: number): number {
    const { bytes } = this;
    this.numberIsInteger = false;
    let byte = bytes[++pos] ?? 0;
    const negative = byte === MINUS;
    if (negative || byte === PLUS) byte = bytes[++pos] ?? 0;
    if (!isDigit(byte)) this.#badNumber(pos);
    let exponent = 0;
    for (; isDigit(byte); byte = bytes[++pos] ?? 0) {
      if (exponent < EXPONENT_MAX) exponent = exponent * 10 + byte - ZERO;
    }
    this.numberMagnitude += negative ? -exponent : exponent;
    return pos;
  }

  // `pos` is at the backslash; returns the position after the escape.
  #escape(pos: number, strict: boolean): number {
    const letter = this.bytes[pos + 1] ?? 0;
    if (SHORT_ESCAPES[letter] === 1) return pos + 2;
    if (letter !== LETTER_U) {
      this.fail(pos + 1 < this.bytes.length ? 'invalid escape' : 'EOF while parsing a string', pos + 1);
    }
    const unit = this.#hex(pos + 2);
    if (!strict || unit < 0xd800 || unit > 0xdfff) return pos + 6;
    if (unit > 0xdbff) this.fail('lone leading surrogate in hex escape', pos + 5);
    for (const [at, expected] of [
      [pos + 6, BACKSLASH],
      [pos + 7, LETTER_U],
    ] as const) {
      if (at >= this.bytes.length) this.fail('EOF while parsing a string', at);
      if (this.bytes[at] !== expected) this.fail('unexpected end of hex escape', at);
    }
    const low = this.#hex(pos + 8);
    if (low < 0xdc00 || low > 0xdfff) this.fail('lone leading surrogate in hex escape', pos + 11);
    return pos + 12;
  }

  #hex(pos: number): number {
    let unit = 0;
    for (let index = pos; index < pos + 4; index++) {
      const byte = this.bytes[index] ?? 0;
      const letter = byte | 0x20;
      if (isDigit(byte)) unit = unit * 16 + byte - ZERO;
      else if (letter >= 0x61 && letter <= 0x66) unit = unit * 16 + letter - 0x57;
      // serde reads all four digits before it checks them.
      else this.fail(pos + 4 <= this.bytes.length ? 'invalid escape' : 'EOF while parsing a string', pos + 3);
    }
    return unit;
  }
}
