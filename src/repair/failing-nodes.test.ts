import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { FailingNodes } from './failing-nodes.ts';

const CANARY = { reason: 'refused: {"error":"InternalError"}', isSilence: false };
const HANGING = { reason: 'hanging: a write had no response after 5000 ms', isSilence: true };
const MALFORMED = '{"error":"InternalError","message":"(code: 11) database disk image is malformed"}';

let clock: ManualClock;
let isLeading: boolean;
/** What the server says when its content is read. */
let said: string | null | Error;
/** Whether other nodes have everything. */
let isKept: boolean;
let done: string[];
let failing: FailingNodes;

beforeEach(() => {
  clock = new ManualClock();
  [isLeading, said, isKept, done] = [true, null, true, []];
  failing = new FailingNodes({
    isLeading: () => isLeading,
    restart: (node) => void done.push(`restart ${node}`),
    nodeAt: (url) => (url === 'http://a' ? 'a' : null),
    damageOf: async (node) => {
      done.push(`examine ${node}`);
      if (said instanceof Error) throw said;
      return said;
    },
    damaged: {
      discard: (node) => {
        done.push(`discard ${node}`);
        return isKept;
      },
    },
    clock,
    events: { record: (kind) => void done.push(kind) },
    logger: { error: () => undefined, warn: () => undefined },
  });
});

/** Two failed canaries a second, as the probes run them. */
async function fail(ms: number, report = CANARY): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) {
    failing.failed('a', report);
    await clock.pass(500);
  }
}

test('restarts a node whose canary keeps failing, then empties it when its files are damaged', async () => {
  said = MALFORMED;
  await fail(5_000);
  expect(done).toEqual([]);
  await fail(1_000);
  expect(done).toEqual(['node_failing', 'restart a']);
  await fail(9_000);
  expect(done).toEqual(['node_failing', 'restart a']);
  await fail(1_000);
  expect(done).toEqual(['node_failing', 'restart a', 'examine a', 'discard a']);
});

test('gives a node that does not respond in time longer, for its machine may be overloaded', async () => {
  await fail(30_000, HANGING);
  expect(done).toEqual([]);
  await fail(1_000, HANGING);
  expect(done).toEqual(['node_failing', 'restart a']);
});

test('restarts a node once a minute, and never empties it, while it says nothing of damage', async () => {
  await fail(200_000);
  expect(done.filter((each) => each === 'restart a')).toHaveLength(4);
  expect(done.filter((each) => each === 'node_failing')).toHaveLength(1);
  expect(done).toContain('examine a');
  expect(done).not.toContain('discard a');
});

test('does the same when its content cannot be read at all', async () => {
  said = new Error('no response');
  await fail(20_000);
  expect(done).toContain('examine a');
  expect(done).not.toContain('discard a');
});

test('begins again after a canary that succeeds', async () => {
  said = MALFORMED;
  await fail(6_000);
  failing.works('a');
  await fail(5_000);
  expect(done).toEqual(['node_failing', 'restart a']);
});

test('leaves a node that works again while it is examined', async () => {
  await fail(15_500);
  said = MALFORMED;
  failing.failed('a', CANARY);
  failing.works('a');
  await clock.pass(1);
  expect(done).not.toContain('discard a');
});

test('does nothing while another gateway leads', async () => {
  isLeading = false;
  said = MALFORMED;
  await fail(100_000);
  expect(done).toEqual([]);
});

test('goes on restarting a damaged node that has the only copy of something', async () => {
  said = MALFORMED;
  isKept = false;
  await fail(100_000);
  expect(done.filter((each) => each === 'restart a')).toHaveLength(2);
  expect(done).toContain('discard a');
});

test('empties a node whose server does not start because its files are damaged, and no other', () => {
  failing.ends('http://a', 'a does not start: the disk is full');
  failing.ends('http://elsewhere', 'x does not start: file is not a database');
  expect(done).toEqual([]);
  failing.ends('http://a', 'a does not start: file is not a database');
  expect(done).toEqual(['discard a']);
});
