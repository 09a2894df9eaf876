import { expect, test } from 'vitest';
import { operationOutcome } from './operation-outcome.ts';

test.each([
  ['node promote', { before: 'b' }, 'Node a is the primary; before it was b.'],
  ['node promote', { before: 'a' }, 'Node a is the primary already.'],
  [
    'node verify',
    { collections: 1, records: 1_200, suspects: 0 },
    '1 collection of node a compared, 1,200 records. No copy is wrong.',
  ],
  [
    'node verify',
    { collections: 3, records: 1, suspects: 1 },
    '3 collections of node a compared, 1 record. 1 copy became suspect: see GET /status.',
  ],
  ['node rebuild', { rebuilt: 1, onlyHere: [] }, '1 collection of node a was copied anew and compared.'],
  [
    'node rebuild',
    { rebuilt: 2, onlyHere: ['x', 'y'] },
    '2 collections of node a were copied anew and compared. No other node has a healthy copy of x, y: left as it is.',
  ],
  ['node drain', { primary: 'b' }, 'Node a is out of service and may be stopped; the primary is b.'],
  ['something newer', { x: 1 }, 'Done. {"x":1}'],
])('says what "%s" with %j did', (kind, result, sentence) => {
  expect(operationOutcome({ kind, target: 'a', result })).toBe(sentence);
});
