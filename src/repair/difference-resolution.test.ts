import { describe, expect, test } from 'vitest';
import { resolveDifferences, type CopyEvidence } from './difference-resolution.ts';

interface Case {
  /** Groups of nodes that agree, such as `ab|c`; several differences are separated by spaces. */
  readonly groups: string;
  readonly primary?: string;
  /** Nodes whose copy was made from another copy. */
  readonly copied?: string;
  /** The group that the log confirms, by one of its nodes; `-` for none. */
  readonly log?: string;
  /** Nodes whose index or reads fail. */
  readonly faults?: string;
  readonly nodes?: string;
  readonly others?: boolean;
}

const evidenceOf = ({ groups, primary, copied, log, faults, nodes, others }: Case): CopyEvidence => ({
  nodes: (nodes ?? groups.replaceAll(/[| ]/g, ''))
    .split('')
    .filter((node, at, all) => all.indexOf(node) === at),
  primary: primary ?? null,
  hasOtherCopies: others ?? false,
  isFromLog: (node) => copied?.includes(node) !== true,
  faults: new Map((faults ?? '').split('').map((node) => [node, 'fault'])),
  differences: groups.split(' ').flatMap((difference, at) => {
    const agreeing = difference.split('|').map((group) => ({ nodes: group.split('') }));
    const confirmed = log?.split(' ')[at] ?? '-';
    const index = agreeing.findIndex((group) => group.nodes.includes(confirmed));
    return agreeing.length < 2
      ? []
      : [{ what: 'x', groups: agreeing, confirmedByLog: index < 0 ? null : index }];
  }),
});

describe.each<[string, Case, string, boolean]>([
  // Majority.
  ['two of three copies agree', { groups: 'ab|c' }, 'c', false],
  ['two of three copies agree against the primary', { groups: 'ab|c', primary: 'c' }, 'c', false],
  ['the log contradicts a majority of three', { groups: 'ab|c', log: 'c' }, 'c', false],
  ['three of five copies agree', { groups: 'abc|de' }, 'de', false],
  ['each of two copies of three is wrong in another record', { groups: 'ab|c ac|b' }, 'bc', false],
  // Copies of one donor have one vote.
  ['the majority was copied from one donor', { groups: 'ab|c', copied: 'b', primary: 'c' }, 'ab', true],
  [
    'two original copies agree and one copied does not',
    { groups: 'ab|c', copied: 'c', primary: 'c' },
    'ab',
    true,
  ],
  // The log.
  ['the log confirms one of two copies', { groups: 'a|b', log: 'b', primary: 'a' }, 'a', false],
  ['three copies all differ and the log confirms one', { groups: 'a|b|c', log: 'b' }, 'ac', false],
  // The index.
  ['the index of one of two copies works', { groups: 'a|b', faults: 'a', primary: 'a' }, 'a', false],
  ['the log confirms a copy whose index is broken', { groups: 'a|b', log: 'a', faults: 'a' }, 'a', true],
  // Undecidable.
  ['nothing shows which of two is right', { groups: 'a|b', primary: 'b' }, 'a', true],
  [
    'nothing shows which is right and the primary was not compared',
    { groups: 'a|b', primary: 'z' },
    'b',
    true,
  ],
  ['two against two', { groups: 'ab|cd', primary: 'd' }, 'ab', true],
  // The last copy.
  ['both copies are wrong in some record', { groups: 'a|b a|b', log: 'a b', primary: 'a' }, 'b', true],
  ['every index is broken', { groups: 'ab', faults: 'ab', primary: 'b' }, 'a', true],
  [
    'the only compared copy is broken and another exists',
    { groups: 'a', faults: 'a', others: true },
    'a',
    false,
  ],
  ['the only copy is broken', { groups: 'a', faults: 'a' }, '', true],
  // Faults without a difference.
  ['one index is broken', { groups: 'abc', faults: 'b' }, 'b', false],
  ['no difference and no fault', { groups: 'abc' }, '', false],
])('when %s', (_title, given, suspects, isUndecided) => {
  const resolution = resolveDifferences(evidenceOf(given));
  test(`makes ${suspects === '' ? 'no copy' : suspects} suspect`, () => {
    expect([...resolution.suspects.keys()].sort().join('')).toBe(suspects);
    for (const reason of resolution.suspects.values()) expect(reason).not.toBe('');
  });
  test(isUndecided ? 'needs an operator' : 'is decided', () => {
    expect(resolution.undecided !== null).toBe(isUndecided);
  });
});

test('never makes every copy suspect when no other copy exists', () => {
  const nodes = ['a', 'b', 'c'];
  const groupings = ['a|b', 'ab|c', 'a|bc', 'ac|b', 'a|b|c', 'abc'];
  for (const groups of groupings)
    for (const more of ['', ...groupings])
      for (const faults of ['', 'a', 'ab', 'abc'])
        for (const log of ['-', 'a', 'c', 'a c', 'c b'])
          for (const copied of ['', 'a', 'bc']) {
            const evidence = evidenceOf({
              groups: `${groups} ${more}`.trim(),
              nodes: 'abc',
              faults,
              log,
              copied,
            });
            const { suspects } = resolveDifferences(evidence);
            expect(nodes.filter((node) => !suspects.has(node)).length).toBeGreaterThan(0);
          }
});
