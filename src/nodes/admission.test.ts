import { beforeEach, expect, test } from 'vitest';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Term } from '../coordination/term.ts';
import type { Head } from '../log/postgres-log.ts';
import { Admission, IntroductionLost, type AdmissionOptions } from './admission.ts';
import type { NodeRow } from './node-store.ts';

const HEAD = { lsn: 5, logId: 'l', cluster: 'c' } as Head;
const term: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };
const ROW: NodeRow = {
  id: 'n',
  url: 'http://n',
  incarnation: 'i',
  checkpoint: 5,
  markerLSN: 5,
  busyLSN: null,
  busyMs: 0,
  filling: false,
};

let rows: NodeRow[];
let steps: string[];
let admission: Admission;
beforeEach(async () => {
  rows = [ROW];
  const metadata = { cluster: 'c', node: 'n', incarnation: 'i', log: 'l', checkpoint: 5, token: 't5' };
  steps = [];
  const body = Buffer.from(JSON.stringify({ id: 'm', metadata }));
  const read = async (): Promise<object> => ({ status: 200, headers: {}, body });
  const client = { read } as unknown as NodeClient;
  admission = new Admission({
    member: { id: 'n', markerLSN: 0, on: (event: string) => void steps.push(event) },
    identity: { expected: null },
    client,
    unverified: client,
    nodes: { all: async () => rows },
    introduction: {
      reset: async () => void steps.push('reset'),
      introduce: async () => (steps.push('introduced'), null),
    },
    onAdmitting: async () => undefined,
    logContains: async ({ lsn }: { lsn: number }) => lsn <= HEAD.lsn,
    verify: async () => null,
  } as unknown as AdmissionOptions);
  await admission.load('c');
});

test('a known node is admitted when it has its identity and content', async () => {
  expect(admission.incarnation).toBe('i');
  await admission.admit(term, HEAD);
  expect(steps).toEqual(['admitted']);
});

test('a node whose introduction PostgreSQL no longer has is not admitted', async () => {
  rows = [];
  await expect(admission.admit(term, HEAD)).rejects.toBeInstanceOf(IntroductionLost);
  await expect(admission.checkpoint()).rejects.toBeInstanceOf(IntroductionLost);
  expect(steps).toEqual([]);
});
