import { beforeEach, describe, expect, test } from 'vitest';
import type { Marker } from '../chroma/client/identity.ts';
import { newMarker } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Term } from '../coordination/term.ts';
import type { Head } from '../log/postgres-log.ts';
import { NodeFilling, type NodeFillingOptions } from './node-filling.ts';

const HEAD = { lsn: 5, logId: 'l', cluster: 'c', isComplete: true } as Head;
const IDENTITY = { cluster: 'c', node: 'n', incarnation: 'i' };
const term: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

let marker: Marker | null;
/** Status with which the server responds to the first read; null: the one that it should. */
let failure: number | null;
/** Whether the log has lost what is beyond its end. */
let hasLost: boolean;
let steps: string[];
beforeEach(() => {
  marker = newMarker(IDENTITY, { log: 'l', checkpoint: 5, token: 't5' });
  [failure, hasLost, steps] = [null, true, []];
});

async function reset(): Promise<string[]> {
  const read = async ({ path }: { path: string }): Promise<object> => {
    const respond = (status: number, body: object | number): object => ({
      status,
      headers: {},
      body: Buffer.from(JSON.stringify(body)),
    });
    const status = failure;
    failure = null;
    if (status !== null) return respond(status, { error: 'InternalError' });
    if (path.endsWith('/databases')) return respond(200, [{ name: 'default_database' }]);
    if (path.endsWith('/collections_count')) return respond(200, 2);
    if (marker === null) return respond(404, {});
    const { progress, ...rest } = marker;
    return respond(200, { id: 'm', metadata: { ...rest, ...progress } });
  };
  const filling = new NodeFilling({
    member: { id: 'n', url: 'http://n', state: 'needs_rebuild', isRefused: false, obstacle: null },
    identity: { expected: IDENTITY, refuses: () => null },
    unverified: { read } as unknown as NodeClient,
    nodes: { all: async () => [], removable: async () => ({ filling: false, discard: marker === null }) },
    reset: async () => (steps.push('reset'), true),
    catalog: { refresh: async () => undefined },
    hasLost: async ({ lsn }: { lsn: number }) => hasLost && lsn > HEAD.lsn,
    onLost: (lsn: number) => void steps.push(`lost ${lsn}`),
    others: () => [],
    logger: { info: () => undefined, warn: () => undefined },
    events: { record: () => undefined },
  } as unknown as NodeFillingOptions);
  await filling.reset(term, HEAD);
  return steps;
}

describe('a node that begins again', () => {
  const ahead = { log: 'l', checkpoint: 7, token: 't7' };

  test('keeps its content when that shows entries which the log has lost', async () => {
    marker = newMarker(IDENTITY, ahead);
    expect(await reset()).toEqual(['lost 7']);
  });

  test('keeps its content while its server cannot work', async () => {
    [marker, failure] = [newMarker(IDENTITY, ahead), 503];
    await expect(reset()).rejects.toThrow('503');
    expect(steps).toEqual([]);
  });

  test.each<[string, () => void]>([
    ['the log has all that it has applied', () => undefined],
    ['an operator has accepted the loss', () => ([marker, hasLost] = [newMarker(IDENTITY, ahead), false])],
    ['its marker is that of another log', () => (marker = newMarker(IDENTITY, { ...ahead, log: 'other' }))],
    ['it has lost its marker', () => (marker = null)],
  ])('is emptied when %s', async (_what, change) => {
    change();
    expect(await reset()).toEqual(['reset']);
  });
});
