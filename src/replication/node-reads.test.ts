import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeResponse, ReadRequest } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Term } from '../coordination/term.ts';
import { NodeReads } from './node-reads.ts';
import { Trials } from './trials.ts';

const LSN = 7;
const ATTEMPTS_MAX = 3;

type Behaviour = (request: ReadRequest) => NodeResponse | NodeError;

let clock: ManualClock;
let trials: Trials;
let over: AbortController;
/** What the node does to each read. */
let node: Behaviour;
let reads: number;
let canary: string | null;

beforeEach(() => {
  clock = new ManualClock();
  over = new AbortController();
  [reads, canary] = [0, null];
  trials = new Trials({
    store: { load: async () => [], save: async () => undefined },
    clock,
    onRepeated: () => undefined,
    onStoreError: () => undefined,
  });
});

const says = (status: number): NodeResponse => ({ status, headers: {}, body: Buffer.from('{}') });
const fails = (code: ConstructorParameters<typeof NodeError>[0], sent = true): NodeError =>
  new NodeError(code, code, { sent });

/** The outcome of a read within `ms`: a status, the name or code of an error, or null while it goes on. */
async function outcome(ms = 60_000): Promise<string | null> {
  const { signal } = over;
  const term: Term = { epoch: 1, clean: true, signal, held: () => !signal.aborted };
  const read = async (request: ReadRequest): Promise<NodeResponse> => {
    reads += 1;
    const made = node(request);
    if (made instanceof NodeError) throw made;
    return made;
  };
  const options = { node: 'a', client: { read }, clock, trials, attemptsMax: ATTEMPTS_MAX };
  const nodeReads = new NodeReads({ ...options, canary: async () => canary, onTrouble: () => undefined });
  const state: { text: string | null } = { text: null };
  nodeReads.read({ method: 'GET', path: '/x' }, LSN, term).then(
    ({ status }) => (state.text = `HTTP ${status}`),
    (error: Error) => (state.text = error instanceof NodeError ? error.code : error.name),
  );
  for (let passed = 0; state.text === null && passed < ms; passed += 100) await clock.pass(100, 100);
  return state.text;
}

describe('a read', () => {
  test.each([
    '(code: 1) LIKE or GLOB pattern too complex',
    '(code: 1) too many SQL variables',
    '(code: 1) Expression tree is too large (maximum depth 1000)',
    '(code: 1043) constraint failed',
  ])('returns a 500 that no node can avoid at once: %s', async (reason) => {
    const message = `Error executing plan: Internal error: error returned from database: ${reason}`;
    const body = Buffer.from(JSON.stringify({ error: 'InternalError', message }));
    node = () => ({ status: 500, headers: {}, body });
    expect([await outcome(), reads, trials.isOpen(LSN)]).toEqual(['HTTP 500', 1, false]);
  });

  test.each([200, 404, 400])('returns the response when its status is %i', async (status) => {
    node = () => says(status);
    expect(await outcome()).toBe(`HTTP ${status}`);
    expect(reads).toBe(1);
  });

  test('is made again when the node responds badly or drops the connection, until it responds well', async () => {
    node = () => [says(500), fails('unanswered'), says(200)][reads - 1]!;
    expect(await outcome()).toBe('HTTP 200');
    expect(trials.of(LSN).get('a')).toMatchObject({ attempts: 2, alone: 2 });
  });

  test('fails the entry when its attempts are used up and the canary works', async () => {
    node = () => says(500);
    expect(await outcome()).toBe('CallFailed');
    expect(reads).toBe(ATTEMPTS_MAX);
    expect(trials.of(LSN).get('a')).toMatchObject({ alone: ATTEMPTS_MAX, failure: { status: 500 } });
  });

  test('goes on without counting bad responses while the canary fails: the node is at fault', async () => {
    [node, canary] = [() => says(500), 'writes are refused'];
    expect(await outcome(5_000)).toBeNull();
    expect(reads).toBeGreaterThan(ATTEMPTS_MAX);
    expect(trials.isOpen(LSN)).toBe(false);
    over.abort();
  });

  test('counts no attempt when it did not reach the node', async () => {
    node = () => fails('refused', false);
    expect(await outcome(5_000)).toBeNull();
    expect(trials.isOpen(LSN)).toBe(false);
    over.abort();
  });

  test('ends at once when the response is too large', async () => {
    node = () => fails('too_large');
    expect(await outcome()).toBe('too_large');
    expect([reads, trials.isOpen(LSN)]).toEqual([1, false]);
  });

  test('fails the entry after one attempt beyond its bound: it goes to one more node, not here again', async () => {
    node = () => fails('timeout');
    expect(await outcome()).toBe('CallFailed');
    expect(reads).toBe(1);
    expect(trials.of(LSN).get('a')?.failure.kind).toBe('hung');
  });

  test('ends with the term', async () => {
    node = () => says(500);
    canary = 'the node hangs';
    expect(await outcome(1_000)).toBeNull();
    over.abort();
    const before = reads;
    await clock.pass(5_000);
    expect(reads).toBe(before);
  });
});
