import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DnsServer, type SrvTarget } from '../../test/support/dns-server.ts';
import { serviceNodes, type NodeDirectory } from './node-directory.ts';

const NAME = '_http._tcp.chroma.test';
const pod = (id: string, port = 8_000): SrvTarget => ({ target: `${id}.chroma.test`, port });

let server: DnsServer;
let source: NodeDirectory;
let impatientSource: NodeDirectory;
beforeAll(async () => {
  server = await DnsServer.start();
  source = sourceWith(30_000);
  impatientSource = sourceWith(200);
});
afterAll(() => server.stop());

function sourceWith(timeout: number): NodeDirectory {
  const resolver = new Resolver({ timeout, tries: 1 });
  resolver.setServers([server.address]);
  return serviceNodes(NAME, (name) => resolver.resolveSrv(name));
}

test('has the targets of the name, in the order of their numbers', async () => {
  server.answers.set(NAME, [pod('chroma-10'), pod('chroma-2', 8_001), pod('CHROMA-0')]);
  expect(await source.nodes()).toEqual([
    { id: 'chroma-0', url: 'http://chroma-0.chroma.test:8000' },
    { id: 'chroma-2', url: 'http://chroma-2.chroma.test:8001' },
    { id: 'chroma-10', url: 'http://chroma-10.chroma.test:8000' },
  ]);
});

test.each<[string, readonly SrvTarget[], string]>([
  ['without a record', [], 'ENODATA'],
  [
    'whose targets have the same first label',
    [pod('a'), { target: 'a.other.test', port: 1 }],
    'same first label',
  ],
  ['whose target has no id', [pod('_a')], 'first label "_a" is no id'],
])('rejects a response %s', async (_what, answer, message) => {
  server.answers.set(NAME, answer);
  await expect(source.nodes()).rejects.toThrow(message);
});

test('rejects for a name that does not exist, and when no server responds', async () => {
  server.answers.clear();
  await expect(source.nodes()).rejects.toThrow('ENOTFOUND');
  server.isSilent = true;
  await expect(impatientSource.nodes()).rejects.toThrow('ETIMEOUT');
});
