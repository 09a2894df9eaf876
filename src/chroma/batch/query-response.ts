// Splits the response to a merged query, as byte slices.
//
// Its form is `{"ids":[[…],[…]],"distances":[[…],[…]],…,"include":[…]}`, where every array but `include` has one element
// per vector of the query.

import { columnsOf, elementStart } from './response-slices.ts';

/** The responses for members of `counts` vectors each, in their order; null when `response` has another shape. */
export function splitQueryResponse(response: Buffer, counts: readonly number[]): Buffer[] | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const columns = columnsOf(response);
  if (columns === null || columns.some(({ ends }) => ends !== null && ends.length !== total)) return null;
  const parts: Buffer[][] = counts.map(() => []);
  // Up to here, all members have the text.
  let shared = 0;
  for (const { start, end, ends } of columns) {
    if (ends === null) continue;
    const common = response.subarray(shared, start + 1);
    let element = 0;
    for (const [member, count] of counts.entries()) {
      const from = elementStart(start, ends, element);
      element += count;
      (parts[member] as Buffer[]).push(common, response.subarray(from, ends[element - 1] ?? from));
    }
    shared = end - 1;
  }
  for (const part of parts) part.push(response.subarray(shared));
  return parts.map((part) => Buffer.concat(part));
}
