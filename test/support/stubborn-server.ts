// A server that is hard to stop: it ignores SIGTERM, as release 1.3.4 does, and has a child, as a wrapper script has.
// Started as `node stubborn-server.ts --path DIR --port N --host H`.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const option = { type: 'string', default: '' } as const;
const { values } = parseArgs({ options: { path: option, port: option, host: option } });

process.on('SIGTERM', () => {});
spawn(process.execPath, [
  '-e',
  "process.on('SIGTERM', () => {}); setInterval(() => {}, 60_000)",
  values.path,
]);
createServer((_request, response) => response.end('{}')).listen(Number(values.port), values.host);
