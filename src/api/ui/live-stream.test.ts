import { expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import type { ClientRequest } from '../../http/router.ts';
import type { ResponseWriter } from '../../http/response.ts';
import { LiveStream } from './live-stream.ts';

/** A client that reads what it gets until it is frozen. */
class FakeWriter implements ResponseWriter {
  text = '';
  status = 0;
  closed = false;
  isFrozen = false;

  head(status: number): void {
    this.status = status;
  }

  write(chunk: Buffer | string): Promise<void> {
    this.text += String(chunk);
    return this.isFrozen ? new Promise(() => undefined) : Promise.resolve();
  }

  /** The values that arrived on a channel. */
  values(channel: string): unknown[] {
    return Array.from(this.text.matchAll(new RegExp(`event: ${channel}\ndata: (.*)\n`, 'g')), ([, data]) =>
      JSON.parse(data!),
    );
  }
}

function setUp() {
  const clock = new ManualClock();
  const produced: AbortSignal[] = [];
  const stream = new LiveStream({
    clock,
    produce: async (_stream, signal) => void produced.push(signal),
  });
  const listen = async () => {
    const client = new AbortController();
    const writer = new FakeWriter();
    const request = { method: 'GET', signal: client.signal } as unknown as ClientRequest;
    const response = await stream.handle(request);
    if (typeof response !== 'function') throw new Error('not streamed');
    const ended = response(writer).then(
      () => null,
      (error: Error) => error.message,
    );
    await new Promise(setImmediate);
    return { writer, client, ended };
  };
  const publish = async (channel: string, value: unknown): Promise<void> => {
    stream.publish(channel, value);
    stream.flush();
    await new Promise(setImmediate);
  };
  const metric = (name: string): number => stream.metrics.find((each) => each.name === name)!.read();
  return { clock, stream, listen, publish, produced, metric };
}

test('each listener gets the newest value of each channel, and a value once', async () => {
  const { listen, publish } = setUp();
  const first = await listen();
  await publish('state', { at: 1 });
  await publish('state', { at: 1 });
  await publish('events', []);
  const second = await listen();
  await publish('state', { at: 2 });
  expect(first.writer.values('state')).toEqual([{ at: 1 }, { at: 2 }]);
  expect(second.writer.values('state')).toEqual([{ at: 1 }, { at: 2 }]);
  expect(second.writer.values('events')).toEqual([[]]);
  expect(first.writer.status).toBe(200);
});

test('values are produced only while anybody listens', async () => {
  const { listen, produced, metric } = setUp();
  expect(produced).toHaveLength(0);
  const [first, second] = [await listen(), await listen()];
  expect([produced.length, metric('listeners')]).toEqual([1, 2]);
  first.client.abort();
  await first.ended;
  expect(produced[0]?.aborted).toBe(false);
  second.client.abort();
  await second.ended;
  expect([produced[0]?.aborted, metric('listeners')]).toEqual([true, 0]);
  await listen();
  expect(produced).toHaveLength(2);
});

test('a listener that does not read is disconnected, and the others go on', async () => {
  const { clock, listen, publish, metric } = setUp();
  const [slow, other] = [await listen(), await listen()];
  slow.writer.isFrozen = true;
  await publish('state', { at: 1 });
  await clock.pass(10_000, 5_000);
  await publish('state', { at: 2 });
  expect(await slow.ended).toMatch(/did not read/);
  expect(other.writer.values('state')).toEqual([{ at: 1 }, { at: 2 }]);
  expect([metric('listeners'), metric('listeners_dropped')]).toEqual([1, 1]);
});

test('no more than 32 listeners are served', async () => {
  const { listen } = setUp();
  for (let n = 0; n < 32; n++) await listen();
  await expect(listen()).rejects.toMatchObject({ code: 'overloaded' });
});

test('a stop ends every stream and refuses new ones', async () => {
  const { stream, listen } = setUp();
  const { ended } = await listen();
  stream.stop();
  expect(await ended).toBeNull();
  await expect(listen()).rejects.toMatchObject({ code: 'stopping' });
});
