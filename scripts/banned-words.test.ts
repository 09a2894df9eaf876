import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BANNED_WORDS, bannedWordsIn, EXCEPTIONS, unneededExceptions } from './banned-words.ts';

const found = (source: string, path = 'src/x.ts'): string[] =>
  bannedWordsIn(path, source, []).map(({ banned }) => banned.not);

/** For each entry of the list, texts in which it must be found. */
const SAMPLES: Readonly<Record<string, readonly string[]>> = {
  door: ['// at the door', 'const frontDoor = 1;', 'DOORS'],
  solo: ['a solo entry', 'SoloEntry', 'solo_entry'],
  lean: ['a lean query', 'leanQueries', 'isLean'],
  twin: ['a late twin', 'lateTwins'],
  'in vain': ['sent in vain', 'sentInVain'],
  'under way': ['one is under way', 'underWay', 'UNDER_WAY', '// one is under\n  // way'],
  doubt: ['in doubt', 'inDoubt', 'doubts', 'doubted', 'undoubted'],
  sound: ['sound nodes', 'isSound', 'unsoundly', 'soundness'],
  lone: ['a lone client', 'loneClient'],
  whoever: ['whoever comes'],
  'level (of a node)': ['the node is level', 'nodes that are level', 'isLevel', 'level with the log'],
  'brought along': ['brought along', 'brings along', 'bringAlong'],
  'tail (of the log)': ['the tail', 'logTail', 'tails'],
  lane: ['a lane', 'class Lanes', 'laneOf'],
  'held (shards)': ['held shards', 'interface HeldShard', 'shards held'],
  'told, tells': ['is told', 'told(', 'it tells'],
  unsettled: ['unsettled calls', 'isUnsettled'],
  mended: ['is mended', 'mends', 'mendFault'],
  'came to nothing': ['came to nothing', 'comes to nothing'],
  'who has a write': ['who has a write', 'whoHas'],
  'the end of the log': ['the end of the log', "the log's end", 'endOfTheLog'],
  gathered: ['gathered calls', 'gather()', 'gathering'],
  'reads through': ['reads through the cache'],
  'kept answers, kept records': ['kept answers', 'keptRecords', 'a kept answer'],
  'judge, verdict': ['a verdict', 'type Verdict', 'judges', 'judgedBody', 'judgement', 'unjudged'],
  'of the first rank': ['of the first rank'],
  'gives account': ['gives account', 'keep account of'],
  'behind our back': ['behind our back', "behind the node's back", 'behind its back'],
  'answer (of HTTP)': ['HttpAnswer', 'an answer', 'the answers', 'without its answer', 'no answer'],
};

describe('finds', () => {
  test.each(BANNED_WORDS.map(({ not }) => not))('%s', (not) => {
    const samples = SAMPLES[not] ?? [];
    expect(samples.filter((sample) => !found(sample).includes(not))).toEqual([]);
    expect(samples).not.toEqual([]);
  });

  test('a word in the name of a file', () => {
    expect(found('', 'test/late-twin.test.ts')).toEqual(['twin']);
  });

  test('each occurrence, with its line', () => {
    const findings = bannedWordsIn('src/x.ts', 'const a = 1;\nconst door = a;\n\n// doors', []);
    expect(findings.map(({ line, word }) => `${line} ${word}`)).toEqual(['2 door', '4 doors']);
  });
});

test.each([
  'an outdoor',
  'clean',
  'cleaning',
  'detail',
  'airplane',
  'alone',
  'level',
  'answers a request',
  'a lone leading surrogate',
  'held',
])('finds nothing in "%s"', (text) => {
  expect(found(text)).toEqual([]);
});

test('finds no phrase over the end of a sentence', () => {
  expect(found('what lies under. Way to go')).toEqual([]);
});

describe('an exception', () => {
  const exception = { path: 'src/arbiter/', not: 'judge, verdict', reason: 'trials' };

  test('excuses its word in its folder', () => {
    expect(bannedWordsIn('src/arbiter/x.ts', 'Verdict', [exception])).toEqual([]);
  });

  test('excuses no other word and no other folder', () => {
    expect(bannedWordsIn('src/arbiter/x.ts', 'door', [exception])).toHaveLength(1);
    expect(bannedWordsIn('src/x.ts', 'Verdict', [exception])).toHaveLength(1);
  });

  test('of the list is needed', () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const unneeded = { ...exception, path: 'src/main.ts' };
    expect(unneededExceptions(root, [...EXCEPTIONS, unneeded])).toEqual([unneeded]);
  });
});
