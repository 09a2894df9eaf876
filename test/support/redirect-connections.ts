// Preloaded into the process of a gateway: its connections to some local ports go to other ones, so that its links to the
// nodes can be cut apart from those of other gateways, which know the nodes by the same addresses.

import { Socket } from 'node:net';

const ports = new Map(Object.entries(JSON.parse(process.env['REDIRECTED_PORTS'] ?? '{}') as object));
// eslint-disable-next-line typescript/unbound-method -- called with its socket below
const connect = Socket.prototype.connect as (this: Socket, ...args: unknown[]) => Socket;

Socket.prototype.connect = function redirected(this: Socket, ...args: unknown[]): Socket {
  // net.connect() hands over its options in an array.
  const [first] = args;
  const options: unknown = Array.isArray(first) ? first[0] : first;
  if (typeof options === 'object' && options !== null && 'port' in options)
    options.port = ports.get(String(options.port)) ?? options.port;
  return connect.apply(this, args);
};
