import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { Address, Call } from './connection.ts';
import { runClosed, runOpen } from './load.ts';
import { percentile } from './statistics.ts';

const call: Call = {
  head: Buffer.from('POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n'),
  body: Buffer.from('{}'),
  operations: 1,
};

let close = async (): Promise<void> => {};
afterEach(() => close());

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Address> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(request, response));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** Answers at once, except that everything that arrives within one stall of `stallMs` waits for its end. */
function stallingServer(stallMs: number, afterMs: number): Promise<Address> {
  let stallEnd = 0;
  let stallAt = 0;
  return serve((_request, response) => {
    const now = performance.now();
    if (stallAt === 0) {
      stallAt = now + afterMs;
      stallEnd = stallAt + stallMs;
    }
    const waiting = now >= stallAt && now < stallEnd ? stallEnd - now : 0;
    if (waiting === 0) response.end('{}');
    else setTimeout(() => response.end('{}'), waiting);
  });
}

it('open loop: every call that a stall delays shows it, counted from when it was to be sent', async () => {
  const address = await stallingServer(400, 200);
  // One connection: all that arrives in the stall waits in the generator, where a closed loop would not have sent it.
  const outcome = await runOpen({
    address,
    rate: 200,
    durationMs: 1_000,
    feed: () => call,
    connectionsMax: 1,
  });
  expect(outcome.operations).toBe(200);
  const slow = outcome.latenciesMs.filter((latency) => latency > 50).length;
  // 400 ms of stall at 200 a second delay 80 calls, by 400 ms down to none: some 70 of them by more than 50 ms.
  expect(slow).toBeGreaterThanOrEqual(60);
  expect(percentile(outcome.latenciesMs, 0.99)).toBeGreaterThan(330);
});

it('closed loop: the same stall is seen once, and in the throughput', async () => {
  const address = await stallingServer(400, 200);
  const outcome = await runClosed({ address, clients: 1, feed: () => call, warmUpMs: 0, durationMs: 800 });
  expect(outcome.latenciesMs.filter((latency) => latency > 300)).toHaveLength(1);
  expect(outcome.elapsedMs).toBeGreaterThan(790);
});

it('open loop: calls keep arriving at their rate while the server is slow', async () => {
  const address = await serve((_request, response) => void setTimeout(() => response.end('{}'), 200));
  const intended: number[] = [];
  const startedAt = performance.now();
  await runOpen({
    address,
    rate: 100,
    durationMs: 500,
    feed: () => call,
    onResult: ({ intendedAt }) => intended.push(intendedAt),
  });
  expect(intended).toHaveLength(50);
  intended.sort((a, b) => a - b);
  expect(intended.at(-1)! - intended[0]!).toBeCloseTo(490, 5);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

it('what is not a 2xx is a failure, not an operation', async () => {
  let turn = 0;
  const address = await serve((_request, response) => {
    turn += 1;
    response.statusCode = turn % 2 === 0 ? 503 : 200;
    response.end('{}');
  });
  const load = { address, clients: 1, feed: () => call, warmUpMs: 0, durationMs: 10_000, callsMax: 20 };
  const outcome = await runClosed(load);
  expect(outcome.operations).toBe(10);
  expect(outcome.latenciesMs).toHaveLength(10);
  expect([...outcome.failures]).toEqual([['HTTP 503', 10]]);
});

it('a dropped connection is a failure, and the next call goes out on a new one', async () => {
  let turn = 0;
  const address = await serve((request, response) => {
    turn += 1;
    if (turn === 2) request.socket.destroy();
    else response.end('{}');
  });
  const load = { address, clients: 1, feed: () => call, warmUpMs: 0, durationMs: 10_000, callsMax: 5 };
  const outcome = await runClosed(load);
  expect(outcome.operations).toBe(4);
  expect([...outcome.failures.values()]).toEqual([1]);
});

it('a call counts for as many operations as it holds', async () => {
  const address = await serve((_request, response) => response.end('{}'));
  const load = { address, clients: 2, warmUpMs: 0, durationMs: 10_000, callsMax: 10 };
  const outcome = await runClosed({ ...load, feed: () => ({ ...call, operations: 64 }) });
  expect(outcome.operations).toBe(640);
  expect(outcome.latenciesMs).toHaveLength(10);
});
