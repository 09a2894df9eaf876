import { describe, expect, it } from 'vitest';
import {
  HttpResponseError,
  HttpResponseParser,
  type ExpectedResponse,
  type HttpResponseParserOptions,
} from './http-response.ts';

const SIZED = 'HTTP/1.1 201 Created\r\nContent-Length: 7\r\nX-Count: 42\r\n\r\n{"a":1}';
const CHUNKED =
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n3;x=y\r\n:1}\r\n0\r\nt: v\r\n\r\n';

interface Setup extends HttpResponseParserOptions, ExpectedResponse {
  /** Bytes per push. */
  readonly size?: number;
}

/** Parses `text` in pieces, reusing one buffer; `completeAt` is -1 while the response is incomplete. */
function parse(text: string, setup: Setup = {}): { parser: HttpResponseParser; completeAt: number } {
  const size = setup.size ?? text.length;
  const parser = new HttpResponseParser(setup);
  parser.begin(setup);
  const shared = Buffer.alloc(size);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    const length = bytes.copy(shared, 0, at, Math.min(at + size, bytes.length));
    if (parser.push(shared.subarray(0, length))) return { parser, completeAt: at + length };
  }
  return { parser, completeAt: -1 };
}

describe.each([
  ['sized', SIZED, 201, '42'],
  ['chunked', CHUNKED, 200, undefined],
  ['sized, after 100 Continue,', `HTTP/1.1 100 Continue\r\n\r\n${SIZED}`, 201, '42'],
])('a response (%s)', (_kind, text, status, count) => {
  it.each([false, true])('completes at its last byte in pieces of any size (strict: %s)', (isStrict) => {
    for (let size = 1; size <= text.length; size += 1) {
      const { parser, completeAt } = parse(text, { size, isStrict });
      expect(completeAt).toBe(text.length);
      expect(parser.status).toBe(status);
      expect(parser.headers.get('x-count')).toBe(count);
      expect(parser.body.toString()).toBe('{"a":1}');
      expect(parser.surplusBytes).toBe(0);
    }
  });

  it('stays incomplete without its last byte', () => {
    expect(parse(text.slice(0, -1)).completeAt).toBe(-1);
  });

  it('counts the bytes behind it', () => {
    expect(parse(`${text}abc`).parser.surplusBytes).toBe(3);
  });
});

it('parses consecutive responses with one parser', () => {
  const { parser } = parse(CHUNKED, { size: 5 });
  expect(parser.headers.has('transfer-encoding')).toBe(true);
  parser.begin();
  expect(parser.headers.size).toBe(0);
  expect(parser.push(Buffer.from(SIZED))).toBe(true);
  expect(parser.status).toBe(201);
  expect(parser.reason).toBe('Created');
  expect(parser.body.toString()).toBe('{"a":1}');
});

it('reads no body of a HEAD response, of 204 and of 304', () => {
  expect(
    parse('HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n', { method: 'HEAD' }).completeAt,
  ).toBeGreaterThan(0);
  expect(parse('HTTP/1.1 204 No Content\r\n\r\n').completeAt).toBeGreaterThan(0);
  expect(parse('HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n').completeAt).toBeGreaterThan(0);
});

it('completes at an interim response when asked to report it', () => {
  const { parser, completeAt } = parse(`HTTP/1.1 100 Continue\r\n\r\n${SIZED}`, { reportsInterim: true });
  expect(completeAt).toBeGreaterThan(0);
  expect(parser.status).toBe(100);
  expect(parser.surplusBytes).toBe(SIZED.length);
});

it('drops the body when it is only counted', () => {
  const { parser, completeAt } = parse(SIZED, { keepsBody: false });
  expect(completeAt).toBe(SIZED.length);
  expect(parser.body).toHaveLength(0);
});

it('completes a response without a length when the connection ends', () => {
  const { parser, completeAt } = parse('HTTP/1.1 200 OK\r\n\r\nhello', { size: 4 });
  expect(completeAt).toBe(-1);
  expect(parser.keepAlive).toBe(false);
  expect(parser.end()).toBe(true);
  expect(parser.body.toString()).toBe('hello');
  expect(parse(SIZED.slice(0, -1)).parser.end()).toBe(false);
});

it.each([
  ['HTTP/1.1 503 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n', false],
  ['HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n', false],
  ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', true],
])('reports whether the connection stays open: %j', (text, keepAlive) => {
  expect(parse(text).parser.keepAlive).toBe(keepAlive);
});

it.each([
  ['another protocol', 'SSH-2.0-x\r\n\r\n'],
  ['an unknown transfer-encoding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n'],
  ['an invalid content-length', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
  ['an invalid chunk size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
  ['a chunk longer than its size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n'],
  ['an endless head', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`],
  ['endless trailers', `${CHUNKED.slice(0, -2)}${'t: v\r\n'.repeat(20_000)}`],
])('rejects %s', (_what, text) => {
  expect(() => parse(text)).toThrow(HttpResponseError);
  expect(() => parse(text, { size: 1000 })).toThrow(HttpResponseError);
});

it.each([
  ['sized', SIZED],
  ['chunked', CHUNKED],
  ['ended by the connection', 'HTTP/1.1 200 OK\r\n\r\n{"a":1}'],
])('rejects a body (%s) beyond the limit', (_kind, text) => {
  expect(() => parse(text, { bodyBytesMax: 6 })).toThrow('body larger than 6 bytes');
  expect(() => parse(text, { bodyBytesMax: 7 })).not.toThrow();
});

it.each([
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n'],
  ['a repeated length', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n'],
  [
    'two kinds of length',
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['a response without a length', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['a malformed header line', 'HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n'],
  ['a folded header line', 'HTTP/1.1 200 OK\r\na: b\r\n c: d\r\ncontent-length: 0\r\n\r\n'],
])('rejects %s when strict only', (_what, text) => {
  expect(() => parse(text, { isStrict: true })).toThrow(HttpResponseError);
  expect(() => parse(text)).not.toThrow();
});
