// A real receiver of OTLP/HTTP, and a real node client: what arrives at both.

import { createServer, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeAfterEach, listening } from '../../test/support/node-server.ts';
import { createUnverifiedNodeClient } from '../chroma/client/node-client.ts';
import { tracedClient } from '../chroma/client/traced-client.ts';
import { tracedRouter } from '../http/traced-router.ts';
import type { Handler } from '../http/router.ts';
import { testRouter } from '../../test/support/http-server.ts';
import { systemClock } from '../util/clock.ts';
import { OpenTelemetryTraces } from './opentelemetry.ts';

closeAfterEach();

interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly status: { code?: number };
  readonly attributes: { key: string; value: { stringValue?: string; intValue?: number } }[];
}
interface Export {
  readonly resourceSpans: {
    readonly resource: { attributes: ReceivedSpan['attributes'] };
    readonly scopeSpans: { readonly spans: ReceivedSpan[] }[];
  }[];
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

let traces: OpenTelemetryTraces;
/** Paths of the receiver, and what was posted. */
let posted: [string, Export][];
/** Requests that the node got. */
let asked: IncomingMessage[];
let node: string;
let endpoint: string;
beforeEach(async () => {
  [posted, asked] = [[], []];
  const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      posted.push([request.url!, JSON.parse(body) as Export]);
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  const server = createServer((request, response) => {
    asked.push(request);
    request.resume();
    response.statusCode = request.url!.endsWith('/get') ? 500 : 200;
    response.end('{}');
  });
  node = `http://127.0.0.1:${await listening(server)}`;
  endpoint = `http://127.0.0.1:${await listening(receiver)}/`;
  traces = new OpenTelemetryTraces({ endpoint, serviceName: 'polychrome', instanceId: 'g-1', ratio: 1 });
});
afterEach(() => traces.stop());

/** Serves one request by `handle`, with this header, and returns the spans that the receiver got. */
async function spansOf(handle: Handler, headers: Record<string, string> = {}): Promise<ReceivedSpan[]> {
  const match = tracedRouter(testRouter({ 'GET /query': handle }), traces).match('GET', '/query');
  if (typeof match === 'string') throw new Error(match);
  await match.handle({ headers } as never).catch(() => undefined);
  return received();
}

async function received(): Promise<ReceivedSpan[]> {
  await traces.stop();
  expect(new Set(posted.map(([path]) => path))).toEqual(new Set(posted.length === 0 ? [] : ['/v1/traces']));
  return posted.flatMap(([, { resourceSpans }]) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );
}

const client = () => {
  const options = { url: node, clock: systemClock, readConnections: 1, mutateConnections: 1 };
  return tracedClient(createUnverifiedNodeClient(options), traces);
};
const attribute = ({ attributes }: Pick<ReceivedSpan, 'attributes'>, name: string): unknown =>
  Object.values(attributes.find(({ key }) => key === name)?.value ?? {})[0];

test('a request and the call that it causes are one trace, that of the client, and the node learns of it', async () => {
  const path = '/api/v2/tenants/t/databases/d/collections/secret-id/query';
  const spans = await spansOf(
    async () => {
      await client().read({ method: 'POST', path, deadlineMs: 5_000, body: Buffer.from('{}') });
      return { status: 200 };
    },
    { traceparent: `00-${TRACE}-${PARENT}-01` },
  );
  const request = spans.find(({ name }) => name === '/query')!;
  const call = spans.find(({ name }) => name === 'POST query')!;
  expect(spans).toHaveLength(2);
  expect(request).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, kind: 2 });
  expect(call).toMatchObject({ traceId: TRACE, parentSpanId: request.spanId, kind: 3 });
  expect(attribute(request, 'http.response.status_code')).toBe(200);
  expect(attribute(call, 'server.address')).toBe(new URL(node).host);
  expect(asked[0]!.headers['traceparent']).toBe(`00-${TRACE}-${call.spanId}-01`);
  const { resource } = posted[0]![1].resourceSpans[0]!;
  expect([attribute(resource, 'service.name'), attribute(resource, 'service.instance.id')]).toEqual([
    'polychrome',
    'g-1',
  ]);
  expect(JSON.stringify(posted)).not.toContain('secret-id');
});

test('a trace that the client does not sample is passed on and not exported', async () => {
  const spans = await spansOf(
    async () => {
      await client().read({ method: 'GET', path: '/api/v2/heartbeat', deadlineMs: 5_000 });
      return { status: 200 };
    },
    { traceparent: `00-${TRACE}-${PARENT}-00` },
  );
  expect(spans).toEqual([]);
  expect(asked[0]!.headers['traceparent']).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
});

test('without a share nothing but the traces of clients is exported', async () => {
  await traces.stop();
  traces = new OpenTelemetryTraces({ endpoint, serviceName: 'polychrome', instanceId: 'g-1', ratio: 0 });
  expect(await spansOf(async () => ({ status: 200 }))).toEqual([]);
  traces = new OpenTelemetryTraces({ endpoint, serviceName: 'polychrome', instanceId: 'g-1', ratio: 0 });
  const traceparent = `00-${TRACE}-${PARENT}-01`;
  expect(await spansOf(async () => ({ status: 200 }), { traceparent })).toHaveLength(1);
});

test('failures are marked, without the text of an error', async () => {
  const spans = await spansOf(async () => {
    await client().read({ method: 'POST', path: '/c/get', deadlineMs: 5_000, body: Buffer.from('{}') });
    throw new TypeError('the content of a document');
  });
  expect(spans.map(({ name, status }) => [name, status.code])).toEqual([
    ['POST get', 2],
    ['/query', 2],
  ]);
  expect(JSON.stringify(posted)).not.toContain('document');
});

test('a change that no request causes is traced, a probe is not', async () => {
  await client().read({ method: 'GET', path: '/api/v2/heartbeat', deadlineMs: 5_000 });
  await client().mutate({ method: 'POST', path: '/c/upsert', body: Buffer.from('{}') });
  expect((await received()).map(({ name }) => name)).toEqual(['POST upsert']);
  expect(asked.map(({ headers }) => headers['traceparent'] !== undefined)).toEqual([false, true]);
});
