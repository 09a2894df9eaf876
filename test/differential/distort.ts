// What can be wrong with a body as a whole: a field missing, doubled, of another type, JSON cut short, bytes that are
// no UTF-8. Each is applied to a body that was right.

import fc from 'fast-check';
import { array, type Fields, object, wrongType } from './values.ts';

/** The part of an operation that is its body. */
export type Content = { readonly body: string } | { readonly bytes: string };

const raw = (buffer: Buffer): Content => ({ bytes: buffer.toString('base64') });

/** `fields` as a JSON object, as it should be three times out of four. */
export function content(fields: fc.Arbitrary<Fields>): fc.Arbitrary<Content> {
  return fc.oneof(
    { weight: 9, arbitrary: fields.map((list) => ({ body: object(list) })) },
    { weight: 2, arbitrary: fc.tuple(fields, fieldFault).map(([list, fault]) => ({ body: fault(list) })) },
    { weight: 1, arbitrary: fc.tuple(fields, textFault).map(([list, fault]) => fault(object(list))) },
  );
}

type FieldFault = (fields: Fields) => string;
type TextFault = (text: string) => Content;

const position = fc.nat(7);

/** Replaces the field at `index` (counted around) by what `change` makes of it. */
function changing(index: number, change: (field: Fields[number]) => Fields): FieldFault {
  return (fields) =>
    object(fields.flatMap((field, at) => (at === index % fields.length ? change(field) : [field])));
}

const fieldFault: fc.Arbitrary<FieldFault> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(position, wrongType)
      .map(([index, value]) => changing(index, ([name]) => [[name, value]])),
  },
  { weight: 2, arbitrary: position.map((index) => changing(index, () => [])) },
  { weight: 1, arbitrary: position.map((index) => changing(index, (field) => [field, field])) },
  {
    weight: 1,
    arbitrary: position.map((index) => changing(index, ([name, value]) => [[name.toUpperCase(), value]])),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('null', '{"deep":[1,{"x":1e5}]}', '1e400', '"\\ud800"', '[[[[]]]]')
      .map((value) => (fields: Fields) => object([...fields, ['unknown_field', value]])),
  },
  { weight: 1, arbitrary: fc.constant((fields: Fields) => object([...fields].reverse())) },
  // serde reads a struct from an array of its fields as well.
  { weight: 1, arbitrary: fc.constant((fields: Fields) => array(fields.map(([, value]) => value))) },
);

const textFault: fc.Arbitrary<TextFault> = fc.oneof(
  { weight: 4, arbitrary: fc.nat(40).map((cut) => (text: string) => ({ body: text.slice(0, -1 - cut) })) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('x', '{}', ',', ']', '\0', '\n\n ', '/* */')
      .map((garbage) => (text: string) => ({ body: text + garbage })),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('', ' ', '[]', 'null', '1', '"x"', '{}', '{', '{"a"', '{,}', '{"a":1,}', '[[]]')
      .map((body) => () => ({ body })),
  },
  {
    weight: 1,
    arbitrary: fc.constant((text: string) => ({ body: `\n ${text.replaceAll(',', ' ,\r\n\t')}` })),
  },
  { weight: 1, arbitrary: fc.constant((text: string) => raw(Buffer.from(`\uFEFF${text}`))) },
  { weight: 1, arbitrary: fc.constant((text: string) => raw(Buffer.from(text, 'utf16le'))) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.nat(200), fc.constantFrom([0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf8, 0x88])).map(
      ([at, bytes]) =>
        (text: string) =>
          withBytes(Buffer.from(text), at, bytes),
    ),
  },
);

function withBytes(text: Buffer, at: number, bytes: readonly number[]): Content {
  const place = at % (text.length + 1);
  return raw(Buffer.concat([text.subarray(0, place), Buffer.from(bytes), text.subarray(place)]));
}
