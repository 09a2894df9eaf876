// JSON with numbers as the text that a Chroma server writes, so that 1.0 stays 1.0 and 64-bit integers stay exact
// (docs/chroma-behaviour.md#numbers).

/** A number as a server writes it. */
export class JsonNumber {
  readonly text: string;

  constructor(source: string) {
    this.text = normalised(source);
  }

  get value(): number {
    return Number(this.text);
  }
}

export type Scalar = boolean | string | JsonNumber;
export type Json = null | Scalar | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** Throws SyntaxError when the text is not JSON. */
export function parseJson(text: string): Json {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? new JsonNumber(context?.source ?? String(value)) : value,
  ) as Json;
}

export function writeJson(value: Json): string {
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${writeJson(member)}`);
  return `{${members.join(',')}}`;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)
  );
}

/** Whether it is written as an integer: 1.0 is a float. */
export function isInteger(number: JsonNumber): boolean {
  return /^-?\d+$/.test(number.text);
}

/** A 32-bit float as a server writes it: the shortest text that parses to it; null for NaN and infinities. */
export function float32Text(value: number): string {
  if (!Number.isFinite(value)) return 'null';
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return floatText(short, 13, -6);
  }
  return floatText(Number(value.toPrecision(9)), 13, -6);
}

const I64_MIN = -(2n ** 63n);
const I64_MAX = 2n ** 63n - 1n;

// serde parses a number without fraction and exponent as an integer when 64 bits hold it, and others as doubles. Its
// error in the last bit with 16 or more digits is not modelled.
function normalised(source: string): string {
  if (/^-?\d+$/.test(source) && source !== '-0') {
    const integer = BigInt(source);
    if (integer >= I64_MIN && integer <= I64_MAX) return integer.toString();
  }
  return floatText(Number(source), 16, -5);
}

// The pretty format of the "ryu" crate: plain digits for small exponents.
function floatText(value: number, pointMax: number, pointMin: number): string {
  if (value === 0) return '0.0';
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  const digits = mantissa.replace(/[-.]/g, '');
  const sign = value < 0 ? '-' : '';
  const point = Number(exponent) + 1;
  if (point > pointMax || point <= pointMin) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0] ?? ''}${fraction}e${point - 1}`;
  }
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  const whole = digits.slice(0, point).padEnd(point, '0');
  return `${sign}${whole}.${digits.slice(point) || '0'}`;
}
