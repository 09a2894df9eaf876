// Finds, for a double that a server returned, a text that it reads as the same double. Chroma's parser rounds some texts
// to a neighbour (docs/chroma-behaviour.md#numbers), so texts are tried until the value read back is the one wanted (R29).
// The texts are guesses that may pass through JavaScript: what counts is the server's own text for the result.

const FRACTION_OR_EXPONENT = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Whether the text is that of a double, not of an integer. */
export function isDoubleText(text: string): boolean {
  return FRACTION_OR_EXPONENT.test(text) && /[.eE]/.test(text);
}

/** Texts that may be read as the double that `text` stands for, the likeliest first; never an integer's text. */
export function doubleTexts(text: string): string[] {
  const value = Number(text);
  if (!Number.isFinite(value) || value === 0) return [text];
  const [above, below] = [neighbour(value, 1n), neighbour(value, -1n)];
  const longer = [17, 18, 19, 20, 21, 25].map((digits) => value.toExponential(digits - 1));
  // A parser that errs by one step reads the neighbour's text as this value.
  const shifted = [above, below].flatMap((each) => [
    String(each),
    each.toExponential(16),
    each.toExponential(18),
  ]);
  const all = [text, ...longer, ...shifted];
  return [...new Set(all.filter(isDoubleText))];
}

/** The next double away from zero (1) or towards it (-1). */
function neighbour(value: number, step: bigint): number {
  const bits = new BigInt64Array(1);
  const doubles = new Float64Array(bits.buffer);
  doubles[0] = value;
  bits[0] = (bits[0] as bigint) + step;
  return doubles[0];
}
