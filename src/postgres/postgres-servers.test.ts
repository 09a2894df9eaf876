import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Database, NotConnected } from './database.ts';
import { PostgresServers } from './postgres-servers.ts';

/** A message of PostgreSQL's protocol. */
function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const ADMITTED = message('R', Buffer.alloc(4));
const READY = message('Z', Buffer.from('I'));
const TERMINATED = message(
  'E',
  Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0'),
);

test('a connection that the server ends as soon as it is made fails its statement, not the process', async () => {
  const server = createServer((socket: Socket) => {
    socket.once('data', () => socket.end(Buffer.concat([ADMITTED, READY, TERMINATED])));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const database = new Database({
    servers: new PostgresServers({ url: `postgres://user:secret@127.0.0.1:${port}/log` }),
    schema: 'polychrome',
    connectionsMax: 1,
    // Also the limit for connecting: a slow machine must not make this NotConnected.
    statementTimeoutMs: 30_000,
    applicationName: 'test',
    onError: () => undefined,
  });
  onTestFinished(async () => {
    await database.close();
    server.close();
  });
  const failure = await database.query('select 1').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
  expect(failure).not.toBeInstanceOf(NotConnected);
});
