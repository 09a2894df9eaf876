// A TCP balancer: each connection goes to the next of its targets that is healthy, as a service of Kubernetes does it.

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface RoundRobin {
  readonly url: string;
  /** Connections that each target has got. */
  readonly connections: readonly number[];
  /** A further target. */
  add(url: string): void;
  stop(): Promise<void>;
}

const PROBE_MS = 250;

export async function startRoundRobin(urls: readonly string[]): Promise<RoundRobin> {
  const targets = urls.map((url) => ({ url: new URL(url), isHealthy: true }));
  const connections = targets.map(() => 0);
  const open = new Set<Socket>();
  let turn = 0;
  const probe = setInterval(() => {
    for (const target of targets)
      void fetch(new URL('/health', target.url)).then(
        ({ status }) => (target.isHealthy = status === 200),
        () => (target.isHealthy = false),
      );
  }, PROBE_MS);
  const next = (): number => {
    for (const _ of targets) if (targets[turn++ % targets.length]!.isHealthy) break;
    return (turn - 1) % targets.length;
  };
  const server = createServer((client) => {
    const index = next();
    const { hostname, port } = targets[index]!.url;
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
    add(url) {
      targets.push({ url: new URL(url), isHealthy: true });
      connections.push(0);
    },
    async stop() {
      clearInterval(probe);
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
