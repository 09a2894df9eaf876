import { expect, test } from 'vitest';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Term } from '../coordination/term.ts';
import type { ProgressReport } from '../util/progress.ts';
import { NodeVerification, type NodeVerificationOptions } from './node-verification.ts';

const TERM: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };
const SIGNAL = new AbortController().signal;

function build(options: Partial<NodeVerificationOptions> = {}): NodeVerification {
  return new NodeVerification({
    verification: {
      verify: async (shard) => ({ records: 10, uncompared: 1, suspects: shard === 's2' ? ['a'] : [] }),
    },
    shardsOf: () => ['s1', 's2'],
    serving: () => ['a', 'b', 'c'],
    term: () => TERM,
    ...options,
  });
}

test('compares every shard of the node with one that serves, asks the others as witnesses, and reports', async () => {
  const asked: string[] = [];
  const reports: ProgressReport[] = [];
  const verification = build({
    verification: {
      verify: async (shard, nodes, { witnesses = [] }) => {
        asked.push(`${shard} ${nodes.join('+')} ${witnesses.join('+')}`);
        return { records: 10, uncompared: 1, suspects: shard === 's2' ? ['a'] : [] };
      },
    },
  });
  const result = await verification.verify('b', (report) => reports.push(report), SIGNAL);
  expect(result).toEqual({ collections: 2, records: 20, uncompared: 2, suspects: 1 });
  expect(asked).toEqual(['s1 b+a a+c', 's2 b+a a+c']);
  expect(reports.map(({ done, total }) => [done, total])).toEqual([
    [0, 2],
    [1, 2],
  ]);
});

test('says what to do when this gateway does not lead or a node does not respond', async () => {
  const report = (): void => undefined;
  await expect(build({ term: () => null }).verify('b', report, SIGNAL)).rejects.toMatchObject({
    code: 'not_leader',
  });
  const verify = async (): Promise<never> => {
    throw new NodeError('timeout', 'no response');
  };
  await expect(build({ verification: { verify } }).verify('b', report, SIGNAL)).rejects.toMatchObject({
    code: 'no_node',
  });
});
