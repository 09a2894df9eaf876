import { expect, test } from 'vitest';
import type { HttpResponse, ResponseWriter } from '../../http/response.ts';
import { withIncluded } from './included.ts';

const LONG = `"documents":["${'x'.repeat(5_000)}","\\"include\\":["],`;

/** Status, declared length and body as a client receives them, whatever the sizes of the chunks. */
async function received(response: HttpResponse): Promise<{ length: number; text: string }> {
  let text = '';
  let length = 0;
  const writer: ResponseWriter = {
    head: (_status, headers) => (length = Number(headers?.['content-length'])),
    write: async (chunk) => void (text += chunk.toString()),
    closed: false,
  };
  if (typeof response === 'function') await response(writer);
  else text = String(response.body);
  return { length, text };
}

function streamed(text: string, chunkBytes: number, status = 200): HttpResponse {
  return async (writer) => {
    writer.head(status, { 'content-length': String(Buffer.byteLength(text)) });
    for (let at = 0; at < text.length; at += chunkBytes) await writer.write(text.slice(at, at + chunkBytes));
  };
}

test('renames the last include of a whole response', async () => {
  const body = `{${LONG}"metadatas":[{"include":["a"]}],"include":["documents"]}`;
  const { text } = await received(withIncluded({ status: 200, body }));
  expect(text).toBe(body.replace(/"include":\["d/, '"included":["d'));
  expect(JSON.parse(text)).toMatchObject({ included: ['documents'], metadatas: [{ include: ['a'] }] });
});

test.each([1, 7, 1_000, 100_000])('renames it in a response sent in chunks of %i', async (chunk) => {
  const body = `{${LONG}"include":["documents","metadatas"]}`;
  const { text, length } = await received(withIncluded(streamed(body, chunk)));
  expect(JSON.parse(text)).toMatchObject({ included: ['documents', 'metadatas'] });
  expect(length).toBe(text.length);
});

test('sends as many bytes as announced when there is no include', async () => {
  const { text, length } = await received(withIncluded(streamed('{"ids":[]}', 100)));
  expect(JSON.parse(text)).toEqual({ ids: [] });
  expect(length).toBe(text.length);
});

test('leaves errors alone', async () => {
  const body = '{"error":"x","include":[]}';
  expect((await received(withIncluded({ status: 400, body }))).text).toBe(body);
  expect((await received(withIncluded(streamed(body, 5, 500)))).text).toBe(body);
});
