import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startTestServer, stopTestServer } from '../../test/support/http-server.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { RawConnection } from '../../test/support/raw-http.ts';
import { until } from '../../test/support/until.ts';
import { ResponseBudget } from './response-budget.ts';
import type { RunningServer } from './server.ts';

const MIB = 1024 * 1024;
// More than the sockets between the two take by themselves.
const LARGE = 16 * MIB;
const GET = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n';

const clock = new ManualClock();
let responseBudget: ResponseBudget;
let server: RunningServer;
let body: () => Buffer | string;
const connections: RawConnection[] = [];

beforeEach(async () => {
  responseBudget = new ResponseBudget({ clock, bytesMax: 2.5 * LARGE });
  body = () => Buffer.alloc(LARGE, 'x');
  ({ server } = await startTestServer(
    { 'GET /a': () => Promise.resolve({ status: 200, body: body() }) },
    { clock, responseBudget },
  ));
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy();
  await stopTestServer({ server, clock });
});

/** A client that sends a request and does not read the response. */
async function slowReader(): Promise<RawConnection> {
  const connection = await RawConnection.open(server.port);
  connections.push(connection);
  connection.socket.pause();
  const { requests } = server.load();
  connection.send(GET);
  await until(
    async () => server.load().requests > requests || responseBudget.cut > 0,
    'the response is sent',
  );
  return connection;
}

async function promptReader(): Promise<number | undefined> {
  const connection = await RawConnection.open(server.port);
  connections.push(connection);
  return (await connection.send(GET).response())?.body.length;
}

/** A response of which so many bytes are unsent. */
function stubReader(unsent: number) {
  const queue = { writeQueueSize: unsent };
  let cut = false;
  const response = Object.assign(new EventEmitter(), {
    socket: { destroyed: false, writableLength: unsent, _handle: queue },
    destroy: () => (cut = true),
  });
  return { queue, response: response as unknown as ServerResponse, cut: () => cut };
}

const free = (): Promise<void> => until(async () => responseBudget.bytes === 0, 'nothing is held any more');

describe('responses that wait for their clients', () => {
  test('are aborted to make room once their clients have stopped reading; the others are complete', async () => {
    const readers = [await slowReader(), await slowReader(), await slowReader()];
    // There is no room for the third, but each of them may be about to read.
    expect([responseBudget.bytes, responseBudget.cut]).toEqual([3 * LARGE, 0]);
    expect(await promptReader()).toBe(LARGE);
    await until(async () => responseBudget.bytes === 3 * LARGE, 'the prompt one is complete');

    await until(async () => {
      clock.advance(5_000); // what the kernel still accepted of a response counts as progress of its client
      expect(responseBudget.tryHold(0)).toBe(responseBudget.cut > 0);
      return responseBudget.cut > 0;
    }, 'one is aborted');
    expect([responseBudget.bytes, responseBudget.cut]).toEqual([2 * LARGE, 1]);
    const received: (number | undefined)[] = [];
    for (const reader of readers) {
      reader.socket.resume();
      received.push((await reader.response())?.body.length);
    }
    expect(received.filter((length) => length === LARGE)).toHaveLength(2);
    await free();
  });

  test('stay while their clients read some of them', async () => {
    // More than kernel buffers take once the client has stopped, and less than the size at which it is cut off at once.
    body = () => Buffer.alloc(4 * LARGE, 'x');
    const reader = await slowReader();
    let taken = 0;
    // More than the sockets between the two accepted by themselves when the response was sent.
    reader.socket.on(
      'data',
      ({ length }: Buffer) => (taken += length) > 0.75 * LARGE && reader.socket.pause(),
    );
    reader.socket.resume();
    await until(async () => taken > 0.75 * LARGE, 'it has read some');
    clock.advance(5_000);
    expect([responseBudget.tryHold(LARGE), responseBudget.cut, responseBudget.bytes]).toEqual([
      false,
      0,
      4 * LARGE,
    ]);
    reader.destroy();
    await free();
  });

  test('of a client that reads and one that has stopped, the latter is aborted', () => {
    const bytes = new ResponseBudget({ clock, bytesMax: 100 });
    const steady = stubReader(60);
    const still = stubReader(60);
    bytes.sent(steady.response, 'x');
    bytes.sent(still.response, 'x');
    expect([bytes.bytes, bytes.cut]).toEqual([120, 0]);
    for (const ms of [4_999, 1]) {
      expect([bytes.tryHold(1), still.cut()]).toEqual([false, false]);
      clock.advance(ms);
      steady.queue.writeQueueSize -= 1;
    }
    bytes.sent(stubReader(1).response, 'x');
    expect(still.cut()).toBe(true);
    expect([steady.cut(), bytes.cut, bytes.tryHold(30)]).toEqual([false, 1, true]);
  });

  test('never exceed twice the bound, however new they are', () => {
    const bytes = new ResponseBudget({ clock, bytesMax: 100 });
    const readers = Array.from({ length: 5 }, () => stubReader(60));
    for (const { response } of readers) bytes.sent(response, 'x');
    expect(readers.map(({ cut }) => cut())).toEqual([true, true, false, false, false]);
    expect(bytes.bytes).toBe(180);
  });

  test('count once when they are slices of one buffer', async () => {
    const merged = Buffer.alloc(2 * LARGE, 'x');
    let next = 0;
    body = () => merged.subarray(next++ * LARGE, next * LARGE);
    const readers = [await slowReader(), await slowReader()];
    expect([responseBudget.bytes, responseBudget.cut]).toEqual([2 * LARGE, 0]);
    readers[0]!.destroy();
    await until(async () => server.load().requests === 1, 'one has disconnected');
    expect(responseBudget.bytes).toBe(2 * LARGE);
    readers[1]!.destroy();
    await free();
  });

  test('release their bytes when the client disconnects, and count as text too', async () => {
    body = () => 'x'.repeat(LARGE);
    const reader = await slowReader();
    expect(responseBudget.bytes).toBeGreaterThan(LARGE / 2);
    reader.destroy();
    await free();
  });

  test('do not count when the client reads them at once', async () => {
    body = () => 'small';
    expect(await promptReader()).toBe(5);
    expect(server.load()).toMatchObject({ responseBytes: 0, readersCut: 0 });
  });
});

describe('responses on their way in', () => {
  test('are held while there is room, which aborting stopped clients makes', () => {
    const bytes = new ResponseBudget({ clock, bytesMax: 100 });
    const cut: string[] = [];
    expect(bytes.tryHold(60)).toBe(true);
    const first = bytes.waits(60, () => cut.push('first'));
    expect(bytes.tryHold(40)).toBe(true);
    bytes.waits(40, () => cut.push('second'));

    clock.advance(3_000);
    first.taken(10);
    expect([bytes.tryHold(20), bytes.bytes]).toEqual([false, 90]);
    clock.advance(3_000);
    // The second has read nothing for 6 s, the first something 3 s ago.
    expect([bytes.tryHold(20), cut, bytes.bytes]).toEqual([true, ['second'], 70]);
    first.over();
    first.over();
    first.taken(10);
    expect(bytes.bytes).toBe(20);
    bytes.giveBack(20);
    expect([bytes.bytes, bytes.cut]).toEqual([0, 1]);
  });
});
