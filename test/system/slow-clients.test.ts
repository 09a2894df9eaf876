// Many, large, slow and vanishing clients: the gateway's memory stays within its budget, its event loop stays responsive,
// and other clients succeed.

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { gaugeEnvironment, readGauge } from '../support/gauge.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const BUDGET_BYTES = 64 * MIB;
// Beyond the bodies: the log buffer, 32 MiB (log/log-buffer.ts), the copies in merged calls, and garbage that is not yet
// collected.
const ALLOWANCE_BYTES = 512 * MIB;

const folder = mkdtempSync(join(tmpdir(), 'polychrome-gauge-'));
const gauge = join(folder, 'gauge.json');

let cluster: TestCluster;
let collection: string;
beforeAll(async () => {
  cluster = await TestCluster.start({
    nodes: 2,
    ownProcess: gaugeEnvironment(gauge),
    settings: {
      BODY_BUDGET_BYTES: String(BUDGET_BYTES),
      RESULT_CACHE_BYTES: '0',
      LEASE_MS: '10000',
      // A slow machine applies the uploads that it accepts one after the other.
      WRITE_TIMEOUT_MS: '120000',
    },
  });
  collection = await cluster.api.create('records');
  expect(await put('first')).toBe(201);
});
afterAll(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

const RECORDS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

async function put(id: string): Promise<number> {
  const body = { ids: [id], embeddings: [[1, 2]], documents: [`small ${id}`] };
  return (await cluster.api.records(collection, 'add', body)).status;
}

function memory(field: 'VmRSS' | 'VmHWM'): number {
  const text = readFileSync(`/proc/${cluster.process.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1]) * 1024;
}

async function open(): Promise<Socket> {
  const socket = connect({ port: Number(new URL(cluster.url).port), host: '127.0.0.1', noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Writes and reads by other clients during `work`; all must succeed. */
async function othersSucceedDuring(name: string, work: () => Promise<void>): Promise<void> {
  let working = true;
  const failed: string[] = [];
  let written = 0;
  const other = async (client: number): Promise<void> => {
    for (let n = 0; working; n++) {
      const id = `${name}-${client}-${n}`;
      const status = await put(id);
      const read = await cluster.api.records(collection, 'get', { ids: [id] });
      if (status !== 201 || !read.text.includes(id))
        failed.push(`${id}: ${status}, ${read.status} ${read.text}`);
      else written += 1;
    }
  };
  const others = [other(0), other(1)];
  await work().finally(() => (working = false));
  await Promise.all(others);
  expect(failed).toEqual([]);
  expect(written).toBeGreaterThan(0);
}

async function nodesAgree(): Promise<void> {
  await cluster.allServe();
  const contents = [...(await cluster.contents()).values()];
  expect(new Set(contents).size).toBe(1);
}

test('serves other clients with little memory when 5,000 connections are idle', async () => {
  const before = memory('VmRSS');
  const idle: Socket[] = [];
  try {
    await othersSucceedDuring('idle', async () => {
      for (let n = 0; n < 50; n++) idle.push(...(await Promise.all(Array.from({ length: 100 }, open))));
    });
    const closed = idle.filter((socket) => socket.readyState !== 'open');
    expect(closed).toHaveLength(0);
    expect(memory('VmRSS') - before).toBeLessThan(128 * MIB);
  } finally {
    for (const socket of idle) socket.destroy();
  }
  await nodesAgree();
});

test('discards uploads that stop half-way and releases their budget', async () => {
  const half = Buffer.alloc(2 * MIB, ' ');
  const path = `${RECORDS}/${collection}/add`;
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${4 * MIB}\r\n\r\n`;
  const before = (await cluster.status()).head;
  await othersSucceedDuring('aborted', async () => {
    // More than the budget holds: first they stall, then they end.
    const uploads = await Promise.all(Array.from({ length: 40 }, open));
    for (const socket of uploads) socket.write(head);
    for (const socket of uploads) socket.write(half);
    for (let n = 0; n < 20; n++) expect(await put(`beside-${n}`)).toBe(201);
    for (const socket of uploads) socket.resetAndDestroy();
  });
  // The whole budget is free again: it admits as many bytes as it holds.
  const whole = `{"ids":[],"embeddings":[]${' '.repeat(4 * MIB)}}`;
  const responses = await Promise.all(
    Array.from({ length: 12 }, () => cluster.api.records(collection, 'add', whole)),
  );
  expect(responses.filter(({ status }) => status === 201)).toHaveLength(12);
  expect((await cluster.status()).head).toBeGreaterThan(before);
  await nodesAgree();
});

test('serves other clients when readers take a large response slowly or not at all', async () => {
  const big = await cluster.api.create('big');
  const documents = Array.from({ length: 12 }, (_, n) => ({ text: `${n}`.padEnd(MIB, 'y') }));
  for (const [n, metadata] of documents.entries()) {
    const body = { ids: [`b${n}`], embeddings: [[1]], metadatas: [metadata] };
    expect((await cluster.api.records(big, 'add', body)).status).toBe(201);
  }
  const request = '{"include":["metadatas"]}';
  const head = `POST ${RECORDS}/${big}/get HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${request.length}\r\n\r\n`;
  const readers = await Promise.all(Array.from({ length: 40 }, open));
  const before = memory('VmRSS');
  // The first reads slowly, so that it is not disconnected, however long the others take.
  let received = 0;
  const slowly = setInterval(() => (received += (readers[0]!.read() as Buffer | null)?.length ?? 0), 20);
  await othersSucceedDuring('readers', async () => {
    for (const socket of readers) {
      socket.pause();
      socket.write(head + request);
    }
    for (let n = 0; n < 20; n++) expect(await put(`slow-${n}`)).toBe(201);
  }).finally(() => clearInterval(slowly));

  // The buffered responses (http/response-budget.ts), as much garbage again that is not yet collected, and the buffers
  // of the connections.
  expect(memory('VmRSS') - before).toBeLessThan(256 * MIB);
  // It gets the whole response.
  readers[0]!.on('data', (chunk: Buffer) => (received += chunk.length)).resume();
  await until(async () => received > documents.length * MIB, 'a slow reader has its response');
  for (const socket of readers) socket.destroy();
  await nodesAgree();
});

test('serves other clients within its memory when 400 readers take nothing of a 6 MiB response', async () => {
  const many = await cluster.api.create('many');
  for (let n = 0; n < 6; n++) {
    const body = { ids: [`m${n}`], embeddings: [[1]], metadatas: [{ text: `${n}`.padEnd(MIB, 'z') }] };
    expect((await cluster.api.records(many, 'add', body)).status).toBe(201);
  }
  const request = '{"include":["metadatas"]}';
  const head = `POST ${RECORDS}/${many}/get HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${request.length}\r\n\r\n`;
  const readers: Socket[] = [];
  const before = memory('VmRSS');
  writeFileSync(`/proc/${cluster.process.pid}/clear_refs`, '5');
  await othersSucceedDuring('many', async () => {
    for (let n = 0; n < 400; n++) {
      const socket = await open();
      socket.pause();
      socket.write(head + request);
      readers.push(socket);
      if (n % 20 === 19) expect(await put(`between-${n}`)).toBe(201);
    }
    const prompt = await cluster.api.records(many, 'get', { include: ['metadatas'] });
    expect([prompt.status, prompt.text.length > 6 * MIB]).toEqual([200, true]);
  });
  // http/response-budget.ts: 64 MiB of responses; as much garbage again that is not yet collected, and streams.
  expect(memory('VmHWM') - before).toBeLessThan(256 * MIB);
  for (const socket of readers) socket.destroy();
  await nodesAgree();
});

test('accepts uploads or refuses them with Retry-After, within its budget, when 100 of 4 MiB arrive at once', async () => {
  const filler = 'x'.repeat(4 * MIB);
  const taken: string[] = [];
  const strange: string[] = [];
  const upload = async (n: number): Promise<void> => {
    const id = `large-${n}`;
    const body = `{"ids":["${id}"],"embeddings":[[1,2]],"metadatas":[{"filler":"${filler}"}]}`;
    const response = await cluster.api.records(collection, 'add', body);
    if (response.status === 201) taken.push(id);
    else if (response.status !== 503 || response.headers.get('retry-after') === null)
      strange.push(response.text);
  };
  const before = memory('VmRSS');
  // Resets the peak (proc(5), clear_refs).
  writeFileSync(`/proc/${cluster.process.pid}/clear_refs`, '5');
  await othersSucceedDuring('large', async () => {
    await Promise.all(Array.from({ length: 100 }, (_, n) => upload(n)));
  });
  expect(strange).toEqual([]);
  expect(taken.length).toBeGreaterThan(10);

  expect(memory('VmHWM') - before).toBeLessThan(BUDGET_BYTES + ALLOWANCE_BYTES);
  await cluster.allServe();
  // Deletes the large records before the comparison.
  const { text } = await cluster.api.records(collection, 'get', { where: { filler }, include: [] });
  expect((JSON.parse(text) as { ids: string[] }).ids.sort()).toEqual(taken.sort());
  expect((await cluster.api.records(collection, 'delete', { ids: taken })).status).toBe(200);
  await nodesAgree();
});

// Latency is meaningful on a quiet machine only:
// QUIET_MACHINE=1 npx vitest run test/system/slow-clients.test.ts
const isQuiet = process.env['QUIET_MACHINE'] === '1';
test.runIf(isQuiet)('delays its event loop by less than 50 ms at the 99th percentile', () => {
  expect(readGauge(gauge)!.lifeDelayP99Ms).toBeLessThan(50);
});
