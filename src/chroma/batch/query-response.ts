// The answer to a merged query, cut apart as byte slices: `{"ids":[[…],[…]],"distances":[[…],[…]],…,"include":[…]}`,
// where every array but `include` holds one element for each vector asked.

import { columnsOf, elementStart } from './response-slices.ts';

/** The answers for members that asked `counts` vectors each, in their order; null when the answer is of another shape. */
export function cutQueryAnswer(answer: Buffer, counts: readonly number[]): Buffer[] | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const columns = columnsOf(answer);
  if (columns === null || columns.some(({ ends }) => ends !== null && ends.length !== total)) return null;
  const parts: Buffer[][] = counts.map(() => []);
  // Everything up to here has been handed to all members.
  let shared = 0;
  for (const { start, end, ends } of columns) {
    if (ends === null) continue;
    const common = answer.subarray(shared, start + 1);
    let element = 0;
    for (const [member, count] of counts.entries()) {
      const from = elementStart(start, ends, element);
      element += count;
      (parts[member] as Buffer[]).push(common, answer.subarray(from, ends[element - 1] ?? from));
    }
    shared = end - 1;
  }
  for (const part of parts) part.push(answer.subarray(shared));
  return parts.map((part) => Buffer.concat(part));
}
