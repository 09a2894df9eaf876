// Against a real server: the marker is only as good as what Chroma does with it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChroma } from '../local/chroma.ts';
import { findChromaRelease } from '../local/chroma-release.ts';
import { findFreePort } from '../local/port.ts';
import { systemClock } from '../util/clock.ts';
import { inspectNode, installMarker, MarkerError, readMarker, writeMarker } from './marker.ts';
import { newMarker } from '../chroma/client/identity.ts';
import {
  createNodeClient,
  createUnverifiedNodeClient,
  type NodeClient,
} from '../chroma/client/node-client.ts';
import { createCollectionRequest, createDatabaseRequest } from '../chroma/protocol/node-requests.ts';

const marker = newMarker({ cluster: 'c', node: 'n1', incarnation: 'i1' });
const DEADLINE_MS = 5000;

let folder = '';
let port = 0;
let stop = async (): Promise<unknown> => undefined;
let blank: NodeClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polychrome-marker-'));
  port = await findFreePort();
  const release = await findChromaRelease(process.env['CHROMA_COMMAND']);
  const logFile = join(folder, 'log');
  const place = { name: 'n1', path: join(folder, 'data'), port, logFile };
  const child = await startChroma({ ...place, release, clock: systemClock });
  stop = () => child.stop();
  blank = createUnverifiedNodeClient({ url: `http://127.0.0.1:${port}`, clock: systemClock });
});

afterAll(async () => {
  await blank.destroy();
  await stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the marker', () => {
  it('is missing on a blank server, which a verified client does not use', async () => {
    expect(await readMarker(blank, DEADLINE_MS)).toBeNull();
    expect(await inspectNode(blank, DEADLINE_MS)).toEqual({
      marker: null,
      databases: ['default_database'],
      collections: 0,
      blank: true,
    });
    const verified = createNodeClient({ url: blank.url, clock: systemClock, expect: () => marker });
    await expect(readMarker(verified, DEADLINE_MS)).rejects.toMatchObject({ code: 'marker_missing' });
    await verified.destroy();
  });

  it('can be installed again and again, under one id', async () => {
    const first = await installMarker(blank, marker);
    expect(await installMarker(blank, marker)).toBe(first);
    expect(await readMarker(blank, DEADLINE_MS)).toEqual({ physicalId: first, marker });
    expect(await inspectNode(blank, DEADLINE_MS)).toMatchObject({ marker, collections: 0, blank: false });
  });

  it('of another identity is never overwritten by installing', async () => {
    await expect(installMarker(blank, { ...marker, incarnation: 'i2' })).rejects.toThrow(MarkerError);
    expect((await readMarker(blank, DEADLINE_MS))?.marker).toEqual(marker);
  });

  it('is replaced as a whole by one call, over a verified connection', async () => {
    const verified = createNodeClient({ url: blank.url, clock: systemClock, expect: () => marker });
    const stored = await readMarker(verified, DEADLINE_MS);
    const physicalId = stored?.physicalId ?? '';
    const ahead = { ...marker, progress: { log: 'l', checkpoint: 2 ** 52 + 1, token: 't' } };
    await writeMarker(verified, physicalId, ahead);
    expect(await readMarker(verified, DEADLINE_MS)).toEqual({ physicalId, marker: ahead });
    await writeMarker(verified, physicalId, marker);
    expect(await readMarker(verified, DEADLINE_MS)).toEqual({ physicalId, marker });
    await verified.destroy();
  });

  it('cannot be written to a collection that is not there', async () => {
    const nowhere = '00000000-0000-4000-8000-000000000000';
    await expect(writeMarker(blank, nowhere, marker)).rejects.toThrow(MarkerError);
  });
});

describe('a server that holds data', () => {
  it('is not blank', async () => {
    const name = { tenant: 'default_tenant', database: 'other' };
    await blank.mutate(createDatabaseRequest(name));
    expect(await inspectNode(blank, DEADLINE_MS)).toMatchObject({ collections: 0, blank: false });
    await blank.mutate(createCollectionRequest(name, Buffer.from('{"name":"theirs"}')));
    expect(await inspectNode(blank, DEADLINE_MS)).toMatchObject({
      databases: expect.arrayContaining(['other', 'default_database']),
      collections: 1,
      blank: false,
    });
  });
});
