// A TCP balancer: each connection goes to the next of its targets.

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface RoundRobin {
  readonly url: string;
  /** Connections that each target has got. */
  readonly connections: readonly number[];
  stop(): Promise<void>;
}

export async function startRoundRobin(urls: readonly string[]): Promise<RoundRobin> {
  const targets = urls.map((url) => new URL(url));
  const connections = targets.map(() => 0);
  const open = new Set<Socket>();
  let turn = 0;
  const server = createServer((client) => {
    const index = turn++ % targets.length;
    const { hostname, port } = targets[index]!;
    connections[index]! += 1;
    const target = connect(Number(port), hostname);
    for (const socket of [client, target]) open.add(socket.on('error', () => undefined));
    client.pipe(target).pipe(client);
    client.on('close', () => target.destroy());
    target.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    async stop() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
