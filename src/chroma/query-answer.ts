// The answer to a merged query, cut apart as byte slices: `{"ids":[[…],[…]],"distances":[[…],[…]],…,"include":[…]}`,
// where every array but `include` holds one element for each vector asked.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const ARRAY_OPEN = 0x5b;
const ARRAY_CLOSE = 0x5d;
const OBJECT_OPEN = 0x7b;
const OBJECT_CLOSE = 0x7d;

/** Bytes at which skipping a value has to look closer. */
const STRUCTURAL = new Uint8Array(256);
for (const byte of [QUOTE, ARRAY_OPEN, ARRAY_CLOSE, OBJECT_OPEN, OBJECT_CLOSE]) STRUCTURAL[byte] = 1;

/** The answers for members that asked `counts` vectors each, in their order; null when the answer is of another shape. */
export function cutQueryAnswer(answer: Buffer, counts: readonly number[]): Buffer[] | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const parts: Buffer[][] = counts.map(() => []);
  if (answer[0] !== OBJECT_OPEN) return null;
  // Everything up to here has been handed to all members.
  let copied = 0;
  let pos = 1;
  while (answer[pos] === QUOTE) {
    const nameEnd = stringEnd(answer, pos);
    const isInclude = answer.toString('latin1', pos + 1, nameEnd - 1) === 'include';
    if (answer[nameEnd] !== COLON) return null;
    const start = nameEnd + 1;
    if (answer[start] === ARRAY_OPEN && !isInclude) {
      const ends = elementEnds(answer, start);
      if (ends.length !== total) return null;
      share(answer, { from: copied, open: start + 1, ends, counts }, parts);
      copied = (ends.at(-1) ?? start + 1) as number;
      pos = copied + 1;
    } else pos = valueEnd(answer, start);
    if (answer[pos] === COMMA) pos += 1;
  }
  if (answer[pos] !== OBJECT_CLOSE || pos + 1 !== answer.length) return null;
  for (const part of parts) part.push(answer.subarray(copied));
  return parts.map((part) => Buffer.concat(part));
}

interface Shared {
  /** Where what all members get begins, and ends: with the opening bracket. */
  readonly from: number;
  readonly open: number;
  /** Where each element ends. */
  readonly ends: readonly number[];
  readonly counts: readonly number[];
}

function share(answer: Buffer, { from, open, ends, counts }: Shared, parts: readonly Buffer[][]): void {
  const common = answer.subarray(from, open);
  let element = 0;
  for (const [member, count] of counts.entries()) {
    const start = element === 0 ? open : (ends[element - 1] as number) + 1;
    element += count;
    const end = element === 0 ? open : (ends[element - 1] as number);
    (parts[member] as Buffer[]).push(common, answer.subarray(start, Math.max(start, end)));
  }
}

/** Where each element of the array at `start` ends: at the comma or bracket after it. */
function elementEnds(bytes: Buffer, start: number): number[] {
  const ends: number[] = [];
  let pos = start + 1;
  if (bytes[pos] === ARRAY_CLOSE) return ends;
  while (pos < bytes.length) {
    pos = valueEnd(bytes, pos);
    ends.push(pos);
    if (bytes[pos] !== COMMA) break;
    pos += 1;
  }
  return ends;
}

/** Where the value at `start` ends. The text is a server's own compact JSON, so nothing is checked. */
function valueEnd(bytes: Buffer, start: number): number {
  let pos = start;
  const first = bytes[pos] as number;
  if (first === QUOTE) return stringEnd(bytes, pos);
  if (first !== ARRAY_OPEN && first !== OBJECT_OPEN) {
    while (
      pos < bytes.length &&
      bytes[pos] !== COMMA &&
      bytes[pos] !== ARRAY_CLOSE &&
      bytes[pos] !== OBJECT_CLOSE
    )
      pos++;
    return pos;
  }
  let depth = 0;
  while (pos < bytes.length) {
    const byte = bytes[pos] as number;
    if (STRUCTURAL[byte] === 0) {
      pos++;
      continue;
    }
    if (byte === QUOTE) {
      pos = stringEnd(bytes, pos);
      continue;
    }
    depth += byte === ARRAY_OPEN || byte === OBJECT_OPEN ? 1 : -1;
    pos++;
    if (depth === 0) return pos;
  }
  return pos;
}

/** Where the string at `start` ends: behind its closing quote. */
function stringEnd(bytes: Buffer, start: number): number {
  for (let pos = start + 1; ; pos++) {
    pos = bytes.indexOf(QUOTE, pos);
    if (pos < 0) return bytes.length;
    let backslashes = 0;
    while (bytes[pos - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return pos + 1;
  }
}
