import { expect, it } from 'vitest';
import { MalformedResponseError, ResponseParser } from './response-parser.ts';

const SIZED = 'HTTP/1.1 201 Created\r\nContent-Length: 7\r\nX-Polychrome-LSN: 42\r\n\r\n{"a":1}';
const CHUNKED =
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n3;x=y\r\n:1}\r\n0\r\nt: v\r\n\r\n';

/** Parses `text` in pieces of `size` bytes, reusing one buffer as the connection does. */
function parse(text: string, size: number): { parser: ResponseParser; completeAt: number } {
  const parser = new ResponseParser();
  parser.begin(true);
  const shared = Buffer.alloc(size);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    const length = bytes.copy(shared, 0, at, Math.min(at + size, bytes.length));
    if (parser.push(shared.subarray(0, length))) return { parser, completeAt: at + length };
  }
  return { parser, completeAt: -1 };
}

for (const [kind, text, status, lsn] of [
  ['sized', SIZED, 201, 42],
  ['chunked', CHUNKED, 200, null],
  ['sized, after 100 Continue,', `HTTP/1.1 100 Continue\r\n\r\n${SIZED}`, 201, 42],
] as const) {
  it(`completes at the last byte when a response (${kind}) arrives in pieces of any size`, () => {
    for (let size = 1; size <= text.length; size += 1) {
      const { parser, completeAt } = parse(text, size);
      expect(completeAt).toBe(text.length);
      expect(parser.status).toBe(status);
      expect(parser.lsn).toBe(lsn);
      expect(parser.body.toString()).toBe('{"a":1}');
    }
  });

  it(`stays incomplete when a response (${kind}) lacks its last byte`, () => {
    expect(parse(text.slice(0, -1), text.length).completeAt).toBe(-1);
  });
}

it('parses consecutive responses with one parser', () => {
  const { parser } = parse(CHUNKED, 5);
  parser.begin(true);
  expect(parser.push(Buffer.from(SIZED))).toBe(true);
  expect(parser.status).toBe(201);
  expect(parser.body.toString()).toBe('{"a":1}');
});

it('reports keepAlive as false when the server sends connection: close', () => {
  const { parser } = parse('HTTP/1.1 503 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n', 9);
  expect(parser.status).toBe(503);
  expect(parser.keepAlive).toBe(false);
});

it('throws when a response is not HTTP or has no length', () => {
  expect(() => parse('SSH-2.0-x\r\n\r\n', 100)).toThrow(MalformedResponseError);
  expect(() => parse('HTTP/1.1 200 OK\r\n\r\n', 100)).toThrow(MalformedResponseError);
});
