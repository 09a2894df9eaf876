// Streamed responses with back-pressure, on real sockets.

import { describe, expect, it } from 'vitest';
import {
  LARGE,
  closeAfterEach,
  listening,
  nodeServer,
  clientTo,
  failure,
  settled,
  gate,
} from '../../../test/support/node-server.ts';
import type { ResponseFlow } from './node-request.ts';

closeAfterEach();

describe('streamed responses', () => {
  it('stop at the server while they are paused', async () => {
    let written = 0;
    const server = nodeServer((_request, response) => {
      response.writeHead(200, { 'content-length': 64 * LARGE.length });
      const more = (): void => {
        while (written < 64)
          if ((written += 1) && !response.write(LARGE)) return void response.once('drain', more);
        response.end();
      };
      more();
    });
    const client = clientTo(await listening(server));
    let flow: ResponseFlow | null = null;
    let received = 0;
    const firstPiece = gate();
    const done = client.stream(
      { method: 'GET', path: '/big', deadlineMs: 10_000 },
      {
        head: (status, _headers, given) => {
          expect(status).toBe(200);
          flow = given;
        },
        data: (chunk) => {
          if (received === 0) {
            flow?.pause();
            firstPiece.open();
          }
          received += chunk.length;
        },
      },
    );
    await firstPiece.opened;
    await settled();
    expect(received).toBeLessThan(1024 * 1024);
    expect(written).toBeLessThan(64);
    (flow as ResponseFlow | null)?.resume();
    await done;
    expect(received).toBe(64 * LARGE.length);
  });

  it('arrive complete when every piece is followed by an immediate pause and resume', async () => {
    const server = nodeServer((_request, response) => void response.end(Buffer.alloc(16 * LARGE.length)));
    const client = clientTo(await listening(server));
    let flow: ResponseFlow | null = null;
    let received = 0;
    await client.stream(
      { method: 'GET', path: '/big', deadlineMs: 10_000 },
      {
        head: (_status, _headers, given) => (flow = given),
        data: (chunk) => {
          received += chunk.length;
          flow?.pause();
          queueMicrotask(() => flow?.resume());
        },
      },
    );
    expect(received).toBe(16 * LARGE.length);
  });

  it('that are read slowly do not block other calls; of too many the slowest is aborted', async () => {
    const server = nodeServer((request, response) => {
      response.end(request.url === '/big' ? Buffer.alloc(64 * LARGE.length) : '{}');
    });
    const client = clientTo(await listening(server), { readConnections: 1 });
    const slow: Promise<unknown>[] = [];
    // One more than PAUSED_MAX.
    for (let n = 0; n < 33; n++) {
      const stopped = gate();
      let flow: ResponseFlow | null = null;
      const data = (): void => {
        flow?.pause();
        stopped.open();
      };
      const call = client.stream(
        { method: 'GET', path: '/big', deadlineMs: 60_000 },
        { head: (_status, _headers, given) => (flow = given), data },
      );
      slow.push(call.catch((error: unknown) => error));
      await stopped.opened;
    }
    const other = await client.read({ method: 'GET', path: '/small', deadlineMs: 10_000 });
    expect(other.body.toString()).toBe('{}');
    expect(await slow[0]).toMatchObject({
      code: 'aborted',
      message: 'the reader of the response is too slow, and other calls wait',
    });
    await client.destroy();
    await Promise.all(slow);
  });

  it('report an end of the connection after the head', async () => {
    const server = nodeServer((_request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('half', () => response.socket?.destroy());
    });
    const client = clientTo(await listening(server));
    let status = 0;
    const sink = { head: (given: number): void => void (status = given), data: (): void => {} };
    const call = client.stream({ method: 'GET', path: '/x', deadlineMs: 10_000 }, sink);
    expect(await failure(call)).toMatchObject({ code: 'unanswered', sent: true });
    expect(status).toBe(200);
  });
});
