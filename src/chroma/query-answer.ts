// The answer to a merged query, cut apart as byte slices: `{"ids":[[…],[…]],"distances":[[…],[…]],…,"include":[…]}`,
// where every array but `include` holds one element for each vector asked.

import {
  ARRAY_OPEN,
  COLON,
  COMMA,
  elementEnds,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  stringEnd,
  valueEnd,
} from './answer-slices.ts';

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
      copied = ends.at(-1) ?? start + 1;
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
