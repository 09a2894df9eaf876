import { describe, expect, test } from 'vitest';
import { CurrentTerm } from '../coordination/current-term.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Term } from '../coordination/term.ts';
import { Notifier } from '../util/notifier.ts';
import { IntroductionLost } from '../nodes/admission.ts';
import { NodeRegistry } from '../nodes/node-registry.ts';
import type { Follower } from './follower.ts';
import { Endings } from './endings.ts';
import { Leader, type LeaderOptions } from './leader.ts';

const nothing = (): Promise<void> => Promise.resolve();
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const untilOver = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

const SERVING = { state: 'serving', markerLSN: 0, minServingLSN: 0, canaryWorks: true };

/** A serving node that is caught up, and responds to a marker write when the test says so. */
function hangingNode() {
  const writes: (() => void)[] = [];
  const written: object[] = [];
  const follower = {
    member: { ...SERVING, id: 'a', changed: new Notifier() },
    applier: {
      mark: { lsn: 7, token: 't' },
      checkpoint: 7,
      callsInFlight: 0,
      callsEnded: nothing,
      run: (term: Term) => untilOver(term.signal),
    },
    admission: {
      load: nothing,
      row: () => Promise.resolve({ checkpoint: 7, busyLSN: null, busyMs: 0 }),
      writeMarker: (changes: object) =>
        new Promise<void>((resolve) => {
          written.push(changes);
          writes.push(resolve);
        }),
    },
  };
  return { follower: follower as unknown as Follower, writes, written };
}

/** Responses to the recording of a primary that are lost. */
let lostResponses = 0;

function leaderOf(followers: readonly Follower[], clock: ManualClock): Leader {
  let generation = 1;
  const setPrimary = async (): Promise<number> => {
    generation += 1;
    if (lostResponses-- > 0) throw new Error('connection terminated');
    return generation;
  };
  const registry = new NodeRegistry<Follower>();
  for (const follower of followers) registry.add(follower);
  const options = {
    current: new CurrentTerm(),
    onBegun: () => undefined,
    followers: registry,
    comparison: { compare: () => Promise.resolve(null), run: (term: Term) => untilOver(term.signal) },
    head: () => Promise.resolve({ lsn: 7, logId: 'l', cluster: 'c', primary: 'a', primaryGeneration: 1 }),
    logBuffer: { head: 7, advance: () => undefined },
    positions: { setCluster: () => undefined, applied: () => 7, moved: new Notifier() },
    assigned: () => Promise.resolve(new Map()),
    decisions: { load: nothing },
    endings: new Endings(),
    trials: { load: nothing, forget: () => undefined },
    stagger: { reconsider: () => undefined },
    nodeStore: { marked: nothing, setPrimary },
    refreshCatalog: nothing,
    furthest: () => null,
    lastSuspicion: () => 0,
    isVerified: () => true,
    primaryChanged: new Notifier(),
    events: { record: () => undefined },
    clock,
    logger: quiet,
  };
  return new Leader(options as unknown as LeaderOptions);
}

function termOf(epoch: number): { term: Term; end: () => void } {
  const over = new AbortController();
  const term = { epoch, clean: true, signal: over.signal, held: () => !over.signal.aborted };
  return { term, end: () => over.abort() };
}

test('does not release the lease cleanly while a node has not responded to a step of the term', async () => {
  const clock = new ManualClock();
  const { follower, writes } = hangingNode();
  const leader = leaderOf([follower], clock);
  const first = termOf(1);
  const led = leader.lead(first.term).then(
    () => 'complete',
    (error: Error) => error.message,
  );
  await clock.pass(1_200);
  expect(writes.length).toBe(1);
  first.end();
  await clock.pass(3_000);
  expect(await led).toBe('calls of this term are still in flight on a');

  // The next term writes nothing before the node has responded: the older marker could overwrite the newer.
  const second = termOf(2);
  const ledAgain = leader.lead(second.term).then(() => 'complete');
  await clock.pass(3_000);
  expect(writes.length).toBe(1);
  writes[0]!();
  await clock.pass(1_200);
  expect(writes.length).toBe(2);
  writes[1]!();
  second.end();
  await clock.pass(100);
  expect(await ledAgain).toBe('complete');
});

const LSN = 8;
/** Two nodes before the entry, with `a` as their primary. */
async function ledPair() {
  lostResponses = 0;
  const clock = new ManualClock();
  const events: string[] = [];
  const node = (id: string) => ({
    member: {
      ...SERVING,
      id,
      changed: new Notifier(),
      on: (event: string) => void events.push(`${id} ${event}`),
    },
    applier: {
      mark: null,
      checkpoint: LSN - 1,
      callsInFlight: 0,
      callsEnded: nothing,
      run: (term: Term) => untilOver(term.signal),
    },
    admission: {
      load: nothing,
      row: async () => {
        if (events.includes(`${id} unknown`)) throw new IntroductionLost('no introduction');
        return { checkpoint: LSN - 1, busyLSN: null, busyMs: 0 };
      },
    },
  });
  const nodes = { a: node('a'), b: node('b') };
  const leader = leaderOf([nodes.a, nodes.b] as unknown as Follower[], clock);
  const { term, end } = termOf(1);
  const led = leader.lead(term);
  await clock.pass(200);
  /** Puts a node into a state, and returns the primary after a while. */
  const primaryWhen = async (id: 'a' | 'b', state: string): Promise<string | null> => {
    nodes[id].member.state = state;
    nodes[id].member.changed.notify();
    await clock.pass(200);
    return leader.primary.node;
  };
  const stop = async (): Promise<void> => {
    end();
    await clock.pass(3_000);
    await led;
  };
  return { leader, nodes, clock, events, primaryWhen, stop };
}

describe('a primary', () => {
  test('that could not decide an entry is primary again when its successor fails, and keeps the role once it is past the entry', async () => {
    const { leader, nodes, clock, primaryWhen, stop } = await ledPair();
    expect(leader.stepDown('a', LSN)).toBe(true);
    await clock.pass(200);
    expect(leader.primary.node).toBe('b');
    expect(await primaryWhen('b', 'down')).toBe('a');
    expect(leader.stepDown('a', LSN)).toBe(false);
    nodes.a.applier.checkpoint = LSN;
    expect(await primaryWhen('b', 'catching_up')).toBe('a');
    await stop();
  });

  test('that could not decide an entry keeps the role when another node comes back only after it asked', async () => {
    const { leader, primaryWhen, stop } = await ledPair();
    expect(await primaryWhen('b', 'down')).toBe('a');
    expect(leader.stepDown('a', LSN)).toBe(false);
    expect(await primaryWhen('b', 'catching_up')).toBe('a');
    await stop();
  });

  test('that could not decide an entry does not take over again from a successor that cannot decide the same entry', async () => {
    const { leader, clock, stop } = await ledPair();
    expect(leader.stepDown('a', LSN)).toBe(true);
    await clock.pass(200);
    expect(leader.stepDown('b', LSN)).toBe(false);
    expect(leader.primary.node).toBe('b');
    await stop();
  });

  test('is recorded again, under the next generation, when PostgreSQL does not accept its decisions', async () => {
    const { leader, clock, stop } = await ledPair();
    const { primary } = leader;
    leader.notPrimary({ ...primary, generation: primary.generation - 1 });
    await clock.pass(200);
    expect(leader.primary).toEqual(primary);
    leader.notPrimary(primary);
    await clock.pass(200);
    expect(leader.primary).toEqual({ node: primary.node, generation: primary.generation + 1 });
    await stop();
  });

  test('begins again when PostgreSQL no longer has its introduction', async () => {
    const { nodes, events, primaryWhen, stop } = await ledPair();
    nodes.a.member.on('unknown');
    await primaryWhen('a', 'down');
    await primaryWhen('a', 'catching_up');
    expect(events.slice(0, 2)).toEqual(['a unknown', 'a lost_content']);
    await stop();
  });

  test('is recorded again when it was without a response, and its predecessor is back', async () => {
    const { leader, nodes, clock, primaryWhen, stop } = await ledPair();
    lostResponses = 1;
    nodes.a.member.state = 'down';
    nodes.a.member.changed.notify();
    await clock.pass(10);
    expect(await primaryWhen('a', 'serving')).toBe('a');
    await clock.pass(500);
    // Generation 2 is that of the lost response.
    expect(leader.primary).toEqual({ node: 'a', generation: 3 });
    await stop();
  });

  test('makes way for a node that an operator wants, as soon as that one serves', async () => {
    const { leader, clock, primaryWhen, stop } = await ledPair();
    expect(await primaryWhen('b', 'catching_up')).toBe('a');
    leader.promote('b');
    await clock.pass(200);
    expect(leader.primary.node).toBe('a');
    expect(await primaryWhen('b', 'serving')).toBe('b');
    // The wish was for once: after a failure the role goes where the election puts it.
    expect(await primaryWhen('b', 'down')).toBe('a');
    expect(await primaryWhen('b', 'serving')).toBe('a');
    leader.promote('b');
    leader.promote(null);
    await clock.pass(200);
    expect(leader.primary.node).toBe('a');
    await stop();
  });
});

test('a node is declared caught up once it has applied what it may show', async () => {
  const { nodes, clock, events, stop } = await ledPair();
  nodes.b.member.minServingLSN = LSN;
  for (const { member } of Object.values(nodes)) member.state = 'catching_up';
  await clock.pass(1_000);
  expect([...new Set(events)]).toEqual(['a caught_up']);
  nodes.b.member.minServingLSN = LSN - 1;
  await clock.pass(1_000);
  expect(events).toContain('b caught_up');
  await stop();
});

test('a marker does not pass what a node may have lost before it has applied what may explain that', async () => {
  const clock = new ManualClock();
  const { follower, writes, written } = hangingNode();
  follower.member.minServingLSN = LSN;
  const { term, end } = termOf(1);
  const led = leaderOf([follower], clock).lead(term);
  await clock.pass(1_200);
  // It announces the term.
  writes[0]!();
  await clock.pass(1_200);
  follower.member.minServingLSN = LSN - 1;
  await clock.pass(1_200);
  writes[1]!();
  const progress = expect.objectContaining({ checkpoint: LSN - 1 });
  expect(written).toEqual([expect.not.objectContaining({ progress }), expect.objectContaining({ progress })]);
  end();
  await clock.pass(3_000);
  await led;
});
