import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Appender } from './appender.ts';
import type { Draft, Entry, AppendResult } from './entry.ts';

const draft = (text: string): Draft => ({
  kind: 'add',
  target: null,
  header: '{}',
  dimension: null,
  body: Buffer.from(text),
});

class NoEffect extends Error {}
class Outdated extends Error {}

/** An append store whose attempts each wait until the test ends them. */
function scripted() {
  const clock = new ManualClock();
  const attempts: {
    token: string;
    bodies: string[];
    connect: () => void;
    commit: () => void;
    fail: (error: Error) => void;
  }[] = [];
  const published: Entry[] = [];
  let lsn = 0;
  let tokens = 0;
  const committed = new Map<string, AppendResult[]>();
  const appender = new Appender({
    clock,
    timeoutMs: 1_000,
    newToken: () => `t${++tokens}`,
    onCommitted: (entries) => published.push(...entries),
    onError: () => undefined,
    store: {
      hadNoEffect: (error) => error instanceof NoEffect,
      isOutdated: (error) => error instanceof Outdated,
      isContentError: () => false,
      append: (token, drafts, _checksums, beforeSend) =>
        new Promise((resolve, reject) => {
          const connect = (): void => {
            try {
              beforeSend();
            } catch (error) {
              reject(error);
            }
          };
          const commit = (): void => {
            const results = committed.get(token) ?? drafts.map((): AppendResult => ({ s: 'ok', lsn: ++lsn }));
            committed.set(token, results);
            resolve(results);
          };
          attempts.push({
            token,
            bodies: drafts.map(({ body }) => body.toString()),
            connect,
            commit,
            fail: reject,
          });
        }),
    },
  });
  const append = async (text: string): Promise<string> => {
    try {
      const result = await appender.append(draft(text));
      return result.s === 'ok' ? `LSN ${result.lsn}` : result.s;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  return { clock, attempts, published, appender, append };
}

test('refuses a write in time when no connection is free, and does not send it later', async () => {
  const { clock, attempts, append } = scripted();
  const [early, late] = [append('early'), clock.pass(600).then(() => append('late'))];
  await clock.pass(1_100);
  expect(await early).toBe('log_unavailable');
  attempts[0]!.connect();
  await clock.pass(50);
  expect(attempts[1]!.bodies).toEqual(['late']);
  attempts[1]!.connect();
  attempts[1]!.commit();
  expect(await late).toBe('LSN 1');
});

test('reports an unknown outcome in time when a sent write gets no response, and refuses the writes behind it', async () => {
  const { clock, attempts, published, append } = scripted();
  const sent = append('sent');
  await clock.pass(50);
  attempts[0]!.connect();
  const behind = append('behind');
  await clock.pass(1_100);
  expect(await sent).toBe('outcome_unknown');
  expect(await behind).toBe('log_unavailable');
  attempts[0]!.fail(new Error('the connection was lost'));
  await clock.pass(200);
  expect(attempts[1]).toMatchObject({ token: attempts[0]!.token, bodies: ['sent'] });
  attempts[1]!.connect();
  attempts[1]!.commit();
  await clock.pass(50);
  expect(published.map(({ lsn }) => lsn)).toEqual([1]);
});

test('repeats a batch of unknown outcome whole under its own token when its writes were rejected meanwhile', async () => {
  const { clock, attempts, append } = scripted();
  const both = [append('a'), append('b')];
  await clock.pass(50);
  attempts[0]!.connect();
  attempts[0]!.fail(new Error('the connection was lost'));
  await clock.pass(200);
  attempts[1]!.fail(new NoEffect());
  await clock.pass(1_500);
  expect(await Promise.all(both)).toEqual(['outcome_unknown', 'outcome_unknown']);
  expect(new Set(attempts.map(({ token, bodies }) => [token, ...bodies].join()))).toEqual(
    new Set(['t1,a,b']),
  );
});

test('does not repeat a batch whose result PostgreSQL may have deleted', async () => {
  const { clock, attempts, append } = scripted();
  const lost = append('lost');
  await clock.pass(50);
  attempts[0]!.connect();
  clock.freeze(3_600_000);
  attempts[0]!.fail(new Error('the connection was lost'));
  expect(await lost).toBe('outcome_unknown');
  await clock.pass(5_000);
  expect(attempts.length).toBe(1);
});

test('rejects every waiting write when it stops', async () => {
  const { clock, attempts, append, appender } = scripted();
  const [sent, waits] = [append('sent'), clock.pass(50).then(() => append('waits'))];
  await clock.pass(100);
  attempts[0]!.connect();
  const stopped = appender.stop();
  attempts[0]!.fail(new Error('the connection was lost'));
  expect(await sent).toBe('outcome_unknown');
  await clock.pass(50);
  attempts[1]!.fail(new NoEffect());
  expect(await waits).toBe('log_unavailable');
  await stopped;
});

test('refuses the whole batch, once, when an entry of it was validated under capabilities that were lowered', async () => {
  const { clock, attempts, append } = scripted();
  const [first, second] = [append('first'), append('second')];
  await clock.pass(50);
  attempts[0]!.connect();
  attempts[0]!.fail(new Outdated());
  expect(await Promise.all([first, second])).toEqual(['log_unavailable', 'log_unavailable']);
  await clock.pass(500);
  expect(attempts).toHaveLength(1);
});

test('refuses such a batch also when the outcome of an earlier attempt is unknown: that one is refused, too', async () => {
  const { clock, attempts, append } = scripted();
  const sent = append('sent');
  await clock.pass(50);
  attempts[0]!.connect();
  attempts[0]!.fail(new Error('the connection ended'));
  await clock.pass(150);
  attempts[1]!.connect();
  attempts[1]!.fail(new Outdated());
  expect(await sent).toBe('log_unavailable');
});
