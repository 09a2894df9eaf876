import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextStep, type Evidence, type Step } from './trial-step.ts';
import type { Attempts, FailureKind } from './trials.ts';

const LIMITS = { attempts: 5, timeoutMs: 60_000 };
const LATE_MS = LIMITS.timeoutMs + 1;

/** Attempts that ended like this, the last `alone` of them with no other entry in the call. */
function failed(kind: FailureKind, alone: number, status = kind === 'response' ? 500 : 0): Attempts {
  const attempts = Math.max(alone, 1);
  return { attempts, alone, failure: { kind, status, body: Buffer.alloc(0) }, sinceMs: 0, lastMs: 0 };
}

/** Three nodes, of which the two others work and know nothing of the entry. */
const evidence = (more: Partial<Evidence>): Evidence => ({
  own: null,
  others: [],
  isTaken: false,
  wasTaken: false,
  mayBeTaken: false,
  isLastCopy: false,
  isPrimary: true,
  peers: 2,
  askable: 2,
  sinceMs: 20_000,
  ...more,
});

type Row = readonly [title: string, evidence: Partial<Evidence>, step: Step];

const REFUSED = failed('response', 5);
const KILLED = failed('died', 1);
const HUNG = failed('hung', 1);

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  'an entry that no node has failed for good': [
    ['is offered when this node has not been sent it', { others: [KILLED] }, 'offer'],
    ['is offered when this node failed it less often than it may', { own: failed('response', 4) }, 'offer'],
    ['is offered when it failed only with others in the call', { own: failed('died', 0) }, 'offer'],
    [
      'is offered again when connections dropped within a few seconds: the network may be at fault',
      { own: failed('dropped', 5), sinceMs: 5_000 },
      'offer',
    ],
  ],
  'an entry that this node has failed for good': [
    ['is put to another node when one works', { own: REFUSED }, 'ask'],
    ['is offered again after one death when this node is the primary', { own: KILLED }, 'offer'],
    ['is offered again after one call beyond its bound', { own: HUNG }, 'offer'],
    ['goes to the next primary first after one death', { own: KILLED, isPrimary: false }, 'wait'],
    [
      'is offered again when the next primary takes too long',
      { own: KILLED, isPrimary: false, sinceMs: LATE_MS },
      'offer',
    ],
    ['waits when no other node works', { own: REFUSED, askable: 0 }, 'wait'],
    [
      'ends when no other node works until the timeout',
      { own: REFUSED, askable: 0, sinceMs: LATE_MS },
      'end',
    ],
    [
      'ends when another node failed it in the same way',
      { own: REFUSED, others: [failed('response', 1)], askable: 1 },
      'end',
    ],
    [
      'ends when two nodes hung on it three times',
      { own: failed('hung', 2), others: [HUNG], askable: 1 },
      'end',
    ],
    [
      'is offered again after one death and one hang, which may have had other reasons',
      { own: KILLED, others: [HUNG], askable: 1 },
      'offer',
    ],
  ],
  'an entry that ended two processes alone': [
    [
      'is offered once more: something else may have ended them',
      { own: KILLED, others: [KILLED], askable: 1 },
      'offer',
    ],
    ['ends after a third death', { own: failed('died', 2), others: [KILLED], askable: 1 }, 'end'],
    [
      'ends at a node that was not sent it after a third death',
      { others: [failed('died', 2), KILLED] },
      'end',
    ],
  ],
  'an entry that two other nodes have failed': [
    [
      'waits at a third node when the failures prove nothing',
      { others: [REFUSED, KILLED], askable: 0 },
      'wait',
    ],
    [
      'waits at a third node when it failed there with others in the call',
      { others: [failed('died', 0), failed('died', 0)] },
      'wait',
    ],
    ['waits at a third node when two processes have died once each', { others: [KILLED, KILLED] }, 'wait'],
    ['ends at a third node after the timeout', { others: [REFUSED, KILLED], sinceMs: LATE_MS }, 'end'],
    [
      'ends at a third node when both failed in the same way',
      { others: [REFUSED, failed('response', 1)] },
      'end',
    ],
  ],
  'an entry that another node has applied': [
    ['is offered at a third node', { others: [KILLED, KILLED], isTaken: true }, 'offer'],
    ['is offered again until the attempts are used up', { own: KILLED, isTaken: true }, 'offer'],
    ['makes this node suspect when its attempts are used up', { own: REFUSED, isTaken: true }, 'suspect'],
    [
      'makes this node suspect although another failed it in the same way',
      { own: REFUSED, others: [REFUSED], isTaken: true },
      'suspect',
    ],
  ],
  'an entry that a node may have applied which has lost its content since': [
    ['is offered at a third node', { others: [REFUSED, REFUSED], wasTaken: true }, 'offer'],
    [
      'makes this node suspect although another failed it in the same way',
      { own: REFUSED, others: [REFUSED], wasTaken: true },
      'suspect',
    ],
    [
      'ends on the last healthy copy, which stays in use, when that fails it, too',
      { own: REFUSED, others: [REFUSED], wasTaken: true, isLastCopy: true },
      'end',
    ],
    [
      'is offered to the last healthy copy until its attempts are used up',
      { own: failed('response', 4), others: [REFUSED, REFUSED], wasTaken: true, isLastCopy: true },
      'offer',
    ],
    [
      'ends on the only node',
      { own: REFUSED, wasTaken: true, isLastCopy: true, peers: 0, askable: 0 },
      'end',
    ],
  ],
  'an entry that a node which is away may have applied': [
    ['waits for that node at first', { own: REFUSED, mayBeTaken: true }, 'wait'],
    ['makes this node suspect later', { own: REFUSED, mayBeTaken: true, sinceMs: LATE_MS }, 'suspect'],
    [
      'makes this node suspect although another failed it in the same way',
      { own: REFUSED, others: [REFUSED], mayBeTaken: true, sinceMs: LATE_MS },
      'suspect',
    ],
    [
      'waits at a third node that two others have failed',
      { others: [REFUSED, REFUSED], mayBeTaken: true },
      'wait',
    ],
    [
      'makes a third node suspect after the timeout',
      { others: [REFUSED, REFUSED], mayBeTaken: true, sinceMs: LATE_MS },
      'suspect',
    ],
  ],
  'an entry in a cluster of one node': [
    [
      'is offered again after a death until the attempts are used up',
      { own: failed('died', 4), peers: 0, askable: 0 },
      'offer',
    ],
    ['ends after five deaths', { own: failed('died', 5), peers: 0, askable: 0 }, 'end'],
    [
      'is offered again after four bad responses',
      { own: failed('response', 4), peers: 0, askable: 0 },
      'offer',
    ],
    ['ends after five bad responses', { own: REFUSED, peers: 0, askable: 0 }, 'end'],
  ],
};

describe.each(Object.entries(ROWS))('%s', (_what, rows) => {
  test.each(rows)('%s', (_title, more, step) => {
    expect(nextStep(evidence(more), LIMITS)).toBe(step);
  });
});

const anyAttempts = fc
  .record({
    kind: fc.constantFrom<FailureKind>('response', 'dropped', 'died', 'hung'),
    alone: fc.integer({ min: 0, max: 7 }),
    status: fc.constantFrom(400, 500),
  })
  .map(({ kind, alone, status }) => failed(kind, alone, kind === 'response' ? status : 0));

const anyEvidence = fc.record({
  own: fc.option(anyAttempts),
  others: fc.array(anyAttempts, { maxLength: 3 }),
  isTaken: fc.boolean(),
  wasTaken: fc.boolean(),
  mayBeTaken: fc.boolean(),
  isLastCopy: fc.boolean(),
  isPrimary: fc.boolean(),
  peers: fc.constant(3),
  askable: fc.integer({ min: 0, max: 2 }),
  sinceMs: fc.constantFrom(0, 9_999, 30_001, LATE_MS),
});

test('no evidence ends an entry that another node has applied, or that an away node may have applied', () => {
  fc.assert(
    fc.property(anyEvidence, (found) => {
      const mayBeServed = found.isTaken || ((found.wasTaken || found.mayBeTaken) && !found.isLastCopy);
      if (mayBeServed) expect(nextStep(found, LIMITS)).not.toBe('end');
    }),
    { numRuns: 2_000 },
  );
});

test('the last healthy copy becomes suspect only when another node has applied the entry', () => {
  fc.assert(
    fc.property(anyEvidence, (found) => {
      if (!found.isTaken) expect(nextStep({ ...found, isLastCopy: true }, LIMITS)).not.toBe('suspect');
    }),
    { numRuns: 2_000 },
  );
});

test('every entry that no node can apply ends, or makes the node suspect, once the timeout has passed', () => {
  fc.assert(
    fc.property(anyEvidence, (found) => {
      const own = failed('response', LIMITS.attempts);
      const step = nextStep({ ...found, own, sinceMs: LATE_MS }, LIMITS);
      expect(['end', 'suspect', 'ask', 'offer']).toContain(step);
    }),
    { numRuns: 2_000 },
  );
});

/** What happens next to the entry, as far as chance decides it. */
interface Move {
  readonly node: number;
  readonly works: readonly boolean[];
  readonly kind: FailureKind;
  readonly status: number;
  readonly isMerged: boolean;
  readonly passedMs: number;
}

const anyMove: fc.Arbitrary<Move> = fc.record({
  node: fc.integer({ min: 0, max: 3 }),
  works: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
  kind: fc.constantFrom<FailureKind>('response', 'dropped', 'died', 'hung'),
  status: fc.constantFrom(400, 500),
  isMerged: fc.boolean(),
  passedMs: fc.constantFrom(0, 1_000, 15_000, 70_000),
});

/** Which nodes an entry reaches that every node fails, four nodes following these steps. */
function reached(moves: readonly Move[]): Set<number> {
  const attempts = new Map<string, Attempts>();
  const nodes = new Set<number>();
  const suspect = new Set<number>();
  let sinceMs = 0;
  const fail = (name: string, { kind, status, isMerged }: Move): Attempts => {
    const before = attempts.get(name);
    const after = {
      attempts: (before?.attempts ?? 0) + 1,
      alone: (before?.alone ?? 0) + (isMerged ? 0 : 1),
      failure: { kind, status: kind === 'response' ? status : 0, body: Buffer.alloc(0) },
      sinceMs: 0,
      lastMs: 0,
    };
    attempts.set(name, after);
    return after;
  };
  for (const move of moves) {
    const name = String(move.node);
    if (attempts.size > 0) sinceMs += move.passedMs;
    if (suspect.has(move.node)) continue;
    const peers = [0, 1, 2, 3].filter((other) => other !== move.node);
    const askable = peers.filter(
      (other) => move.works[other] && !attempts.has(String(other)) && !attempts.has(`${other} scratch`),
    );
    const others = [...attempts].filter(([other]) => other !== name).map(([, each]) => each);
    const own = attempts.get(name) ?? null;
    const found = {
      own,
      others,
      isTaken: false,
      wasTaken: false,
      mayBeTaken: false,
      isLastCopy: false,
      isPrimary: true,
      peers: 3,
      askable: askable.length,
      sinceMs,
    };
    const step = attempts.size === 0 ? 'offer' : nextStep(found, LIMITS);
    if (step === 'end') break;
    if (step === 'suspect') suspect.add(move.node);
    if (step === 'offer') {
      nodes.add(move.node);
      const total = [...attempts.values()].reduce((sum, each) => sum + each.attempts, 0);
      fail(name, { ...move, isMerged: move.isMerged && total < 2 });
    }
    if (step === 'ask') {
      nodes.add(askable[0]!);
      const opinion = fail(`${askable[0]} scratch`, { ...move, isMerged: false });
      // One that fails in another way shows that this node is at fault.
      if (opinion.failure.status !== own?.failure.status) suspect.add(move.node);
    }
  }
  return nodes;
}

test('no sequence of failures lets an entry reach a third node before one has applied it', () => {
  fc.assert(
    fc.property(fc.array(anyMove, { maxLength: 40 }), (moves) => {
      expect(reached(moves).size).toBeLessThanOrEqual(2);
    }),
    { numRuns: 3_000, seed: 12 },
  );
});
