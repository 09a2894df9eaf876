// The numbers in a body, as they are written: what is beyond a range cannot be seen once it is a JavaScript number.

/** From here on a number rounds to infinity as a 32-bit float: half a unit above the largest of them. */
export const FLOAT32_LIMIT = 3.4028235677e38;

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[[\]{}:,]/g;

/** Every number inside the array that is the member `column` of the JSON object in `json`. */
export function columnNumbers(json: string, column: string): string[] {
  const numbers: string[] = [];
  let depth = 0;
  let key = '';
  let previous = '';
  for (const token of json.match(TOKEN) ?? []) {
    if (token === '[' || token === '{') depth++;
    else if (token === ']' || token === '}') depth--;
    else if (token === ':' && depth === 1) key = previous;
    else if (depth > 1 && key === JSON.stringify(column) && /^[-\d]/.test(token)) numbers.push(token);
    previous = token;
  }
  return numbers;
}
