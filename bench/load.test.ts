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

async function serve(
  respond: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Address> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => respond(request, response));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** Responds at once, except during one stall of `stallMs`: requests that arrive then wait for its end. */
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

it('open loop: counts latency from the intended send time when the server stalls', async () => {
  const address = await stallingServer(200, 100);
  // With one connection, calls that arrive during the stall queue in the generator.
  const outcome = await runOpen({
    address,
    rate: 400,
    durationMs: 500,
    nextCall: () => call,
    connectionsMax: 1,
  });
  expect(outcome.operations).toBe(200);
  const slow = outcome.latenciesMs.filter((latency) => latency > 50).length;
  // A 200 ms stall at 400 calls/s delays 80 calls by 200 ms down to 0, about 60 of them by more than 50 ms.
  expect(slow).toBeGreaterThanOrEqual(50);
  expect(percentile(outcome.latenciesMs, 0.99)).toBeGreaterThan(165);
});

it('closed loop: shows one slow call when the server stalls once', async () => {
  let requests = 0;
  let requestsAtEndOfStall = 0;
  // Stalls at a request, not at a time: a slow machine then changes neither the number of requests nor the stalled one.
  const address = await serve((_request, response) => {
    requests += 1;
    if (requests !== 10) return void response.end('{}');
    setTimeout(() => {
      requestsAtEndOfStall = requests;
      response.end('{}');
    }, 200);
  });
  const load = { address, clients: 1, nextCall: () => call, warmUpMs: 0, durationMs: Infinity, callsMax: 20 };
  const outcome = await runClosed(load);
  expect(outcome.latenciesMs).toHaveLength(20);
  expect(requestsAtEndOfStall).toBe(10);
  // A timer of 200 ms may fire up to 1 ms early.
  expect(outcome.latenciesMs.at(-1)).toBeGreaterThanOrEqual(199);
});

it('open loop: keeps the arrival rate when the server does not respond', async () => {
  const pending: ServerResponse[] = [];
  // A generator that waits for a response before its next request would never end.
  const address = await serve((_request, response) => {
    pending.push(response);
    if (pending.length === 50) for (const each of pending) each.end('{}');
  });
  const intended: number[] = [];
  await runOpen({
    address,
    rate: 100,
    durationMs: 500,
    nextCall: () => call,
    onResult: ({ intendedAt }) => intended.push(intendedAt),
  });
  expect(intended).toHaveLength(50);
  intended.sort((a, b) => a - b);
  expect(intended.at(-1)! - intended[0]!).toBeCloseTo(490, 5);
});

it('counts a response other than 2xx as a failure', async () => {
  let turn = 0;
  const address = await serve((_request, response) => {
    turn += 1;
    response.statusCode = turn % 2 === 0 ? 503 : 200;
    response.end('{}');
  });
  const load = { address, clients: 1, nextCall: () => call, warmUpMs: 0, durationMs: 10_000, callsMax: 20 };
  const outcome = await runClosed(load);
  expect(outcome.operations).toBe(10);
  expect(outcome.latenciesMs).toHaveLength(10);
  expect([...outcome.failures]).toEqual([['HTTP 503', 10]]);
});

it('counts a failure and reconnects when the server drops a connection', async () => {
  let turn = 0;
  const address = await serve((request, response) => {
    turn += 1;
    if (turn === 2) request.socket.destroy();
    else response.end('{}');
  });
  const load = { address, clients: 1, nextCall: () => call, warmUpMs: 0, durationMs: 10_000, callsMax: 5 };
  const outcome = await runClosed(load);
  expect(outcome.operations).toBe(4);
  expect([...outcome.failures.values()]).toEqual([1]);
});

it('counts every operation of a call', async () => {
  const address = await serve((_request, response) => response.end('{}'));
  const load = { address, clients: 2, warmUpMs: 0, durationMs: 10_000, callsMax: 10 };
  const outcome = await runClosed({ ...load, nextCall: () => ({ ...call, operations: 64 }) });
  expect(outcome.operations).toBe(640);
  expect(outcome.latenciesMs).toHaveLength(10);
});
