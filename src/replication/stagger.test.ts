import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { seededRandom } from '../../test/support/seeded-random.ts';
import type { Term } from '../coordination/term.ts';
import { TermOver } from '../coordination/term.ts';
import { Stagger } from './stagger.ts';

let serving: string[];
let primary: string;
let clock: ManualClock;
let stagger: Stagger;
/** Nodes in the order in which their turns began. */
let begun: string[];
/** By node: ends its turn. */
let ends: Map<string, () => void>;

beforeEach(() => {
  [serving, primary, begun, ends] = [['a', 'b', 'c'], 'a', [], new Map()];
  clock = new ManualClock();
  stagger = new Stagger({ serving: () => serving, primary: () => primary, clock });
});

function termOf(): { term: Term; end: () => void } {
  const over = new AbortController();
  const term = { epoch: 1, clean: true, signal: over.signal, held: () => !over.signal.aborted };
  return { term, end: () => over.abort() };
}

const settled = (): Promise<void> => new Promise(setImmediate);

function ask(node: string): void {
  void stagger.turn(node, termOf().term).then((release) => {
    begun.push(node);
    ends.set(node, release);
  });
}

async function finish(node: string): Promise<void> {
  ends.get(node)!();
  await settled();
}

describe('with three serving nodes', () => {
  test('the primary and one replica make long calls at once, and the third node stays free', async () => {
    for (const node of ['b', 'a', 'c']) ask(node);
    await settled();
    expect(begun).toEqual(['b', 'a']);
    await finish('a');
    expect(begun).toEqual(['b', 'a']);
    await finish('b');
    expect(begun).toEqual(['b', 'a', 'c']);
  });

  test('a replica that takes very long holds up no other one, and the third node stays free', async () => {
    for (const node of ['b', 'a', 'c']) ask(node);
    await settled();
    await clock.pass(3_000);
    expect(begun).toEqual(['b', 'a']);
    // Only one node may be left for reads.
    await finish('a');
    expect(begun).toEqual(['b', 'a', 'c']);
    ask('a');
    await settled();
    expect(begun).toEqual(['b', 'a', 'c']);
    await finish('c');
    expect(begun).toEqual(['b', 'a', 'c', 'a']);
  });

  test('a waiting replica begins once the call of the other one has taken very long', async () => {
    for (const node of ['b', 'c']) ask(node);
    await settled();
    await clock.pass(2_900);
    expect(begun).toEqual(['b']);
    await clock.pass(200);
    expect(begun).toEqual(['b', 'c']);
  });

  test('one of them is free whatever they ask for and in whichever order they end', async () => {
    const random = seededRandom(7);
    const draw = (count: number): number => Math.floor(random() * count);
    const long = new Set<string>();
    const waiting = new Set<string>();
    const { term } = termOf();
    for (let step = 0; step < 300; step++) {
      const node = serving[draw(3)]!;
      if (long.has(node)) {
        long.delete(node);
        await finish(node);
      } else if (!waiting.has(node)) {
        waiting.add(node);
        const turn = stagger.turn(node, term);
        void turn.then((done) => {
          waiting.delete(node);
          long.add(node);
          ends.set(node, done);
        });
        await settled();
      }
      expect(long.size).toBeLessThan(3);
    }
  });
});

describe('with two serving nodes', () => {
  beforeEach(() => {
    serving = ['a', 'b'];
  });

  test('one makes a long call at a time', async () => {
    ask('a');
    ask('b');
    await settled();
    expect(begun).toEqual(['a']);
    await finish('a');
    expect(begun).toEqual(['a', 'b']);
    ask('a');
    await settled();
    expect(begun).toEqual(['a', 'b']);
    await finish('b');
    expect(begun).toEqual(['a', 'b', 'a']);
  });

  test('a node that makes a long call may begin another beside it', async () => {
    ask('a');
    await settled();
    const first = ends.get('a')!;
    ask('a');
    ask('b');
    await settled();
    expect(begun).toEqual(['a', 'a']);
    first();
    await settled();
    expect(begun).toEqual(['a', 'a']);
    await finish('a');
    expect(begun).toEqual(['a', 'a', 'b']);
  });
});

test('turns begin in the order in which they were asked for', async () => {
  serving = ['a', 'b', 'c', 'd'];
  for (const node of ['b', 'd', 'c']) ask(node);
  await settled();
  expect(begun).toEqual(['b']);
  await finish('b');
  await finish('d');
  expect(begun).toEqual(['b', 'd', 'c']);
});

test('a node begins at once when it is the only one that serves, or serves no reads', async () => {
  serving = ['b'];
  ask('b');
  ask('c');
  await settled();
  expect(begun).toEqual(['b', 'c']);
});

test('a waiting node begins when the node before it serves no more and states are reconsidered', async () => {
  serving = ['a', 'b'];
  ask('a');
  ask('b');
  await settled();
  expect(begun).toEqual(['a']);
  serving = ['b'];
  stagger.reconsider();
  await settled();
  expect(begun).toEqual(['a', 'b']);
});

test('a waiting replica begins when it has become the primary and a third node is free', async () => {
  ask('b');
  ask('c');
  await settled();
  expect(begun).toEqual(['b']);
  primary = 'c';
  stagger.reconsider();
  await settled();
  expect(begun).toEqual(['b', 'c']);
});

describe('when the term ends', () => {
  test('a waiting node gets TermOver and takes no place in the queue', async () => {
    serving = ['a', 'b'];
    ask('a');
    await settled();
    const { term, end } = termOf();
    const waiting = stagger.turn('b', term);
    end();
    await expect(waiting).rejects.toBeInstanceOf(TermOver);
    await finish('a');
    ask('a');
    await settled();
    expect(begun).toEqual(['a', 'a']);
  });

  test('a turn asked for afterwards is refused when it would have to wait', async () => {
    serving = ['a', 'b'];
    ask('a');
    await settled();
    const { term, end } = termOf();
    end();
    await expect(stagger.turn('b', term)).rejects.toBeInstanceOf(TermOver);
  });
});
