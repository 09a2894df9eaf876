import { expect, it } from 'vitest';
import { ResponseParser, UnreadableAnswer } from './response-parser.ts';

const SIZED = 'HTTP/1.1 201 Created\r\nContent-Length: 7\r\nX-Polychrome-LSN: 42\r\n\r\n{"a":1}';
const CHUNKED =
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n3;x=y\r\n:1}\r\n0\r\nt: v\r\n\r\n';

/** Reads `text` in pieces of `size` bytes through one buffer that is written over, as the connection does. */
function read(text: string, size: number): { parser: ResponseParser; completeAt: number } {
  const parser = new ResponseParser();
  parser.expect(true);
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
  ['sized, after an interim answer,', `HTTP/1.1 100 Continue\r\n\r\n${SIZED}`, 201, 42],
] as const) {
  it(`a ${kind} answer is complete with its last byte, however it arrives`, () => {
    for (let size = 1; size <= text.length; size += 1) {
      const { parser, completeAt } = read(text, size);
      expect(completeAt).toBe(text.length);
      expect(parser.status).toBe(status);
      expect(parser.lsn).toBe(lsn);
      expect(parser.body.toString()).toBe('{"a":1}');
    }
  });

  it(`a ${kind} answer cut short is not complete`, () => {
    expect(read(text.slice(0, -1), text.length).completeAt).toBe(-1);
  });
}

it('one parser reads one answer after another', () => {
  const { parser } = read(CHUNKED, 5);
  parser.expect(true);
  expect(parser.push(Buffer.from(SIZED))).toBe(true);
  expect(parser.status).toBe(201);
  expect(parser.body.toString()).toBe('{"a":1}');
});

it('notices that the server will close', () => {
  const { parser } = read('HTTP/1.1 503 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n', 9);
  expect(parser.status).toBe(503);
  expect(parser.keepAlive).toBe(false);
});

it('an answer that is not HTTP, or has no length, is not readable', () => {
  expect(() => read('SSH-2.0-x\r\n\r\n', 100)).toThrow(UnreadableAnswer);
  expect(() => read('HTTP/1.1 200 OK\r\n\r\n', 100)).toThrow(UnreadableAnswer);
});
