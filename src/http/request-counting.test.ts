// Which requests a server counts, and with which status.

import { afterEach, expect, test } from 'vitest';
import { startTestServer, stopTestServer, type TestServer } from '../../test/support/http-server.ts';
import { RawConnection } from '../../test/support/raw-http.ts';
import { until } from '../../test/support/until.ts';
import { PolychromeError } from '../errors.ts';
import type { Handler } from './router.ts';

let subject: TestServer;
let connection: RawConnection;
afterEach(async () => {
  connection.destroy();
  await stopTestServer(subject);
});

/** Sends a request to a server with this handler; resolves once a request was counted. */
async function counted(handler: Handler, request: string): Promise<(string | number | null)[][]> {
  subject = await startTestServer({ 'GET /a': handler, 'POST /body': handler });
  connection = await RawConnection.open(subject.server.port);
  connection.send(request);
  await until(async () => subject.served.length > 0, 'the request was counted', 5_000);
  return subject.served.map(({ route, status }) => [route, status]);
}

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';

test('a response', async () => {
  expect(await counted(async () => ({ status: 201 }), GET)).toEqual([['/a', 201]]);
});

test('an error of the handler', async () => {
  const fail = (): never => {
    throw new PolychromeError('overloaded', 'full');
  };
  expect(await counted(async () => fail(), GET)).toEqual([['/a', 503]]);
});

test('a streamed response', async () => {
  const streamed: Handler = async () => async (response) => {
    response.head(200);
    await response.write('text');
  };
  expect(await counted(streamed, GET)).toEqual([['/a', 200]]);
});

test('a refusal that ends the connection before the body has come', async () => {
  const request = `POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: ${1024 * 1024}\r\n\r\n`;
  expect(await counted(async () => ({ status: 200 }), request)).toEqual([['/body', 413]]);
});

test('a stream that fails as aborted', async () => {
  const failing: Handler = async () => async (response) => {
    response.head(200);
    await response.write('text');
    throw new Error('the node is gone');
  };
  expect(await counted(failing, GET)).toEqual([['/a', null]]);
});
