// A real Chroma server as a subject: a process, a folder, and sockets.

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Child } from '../../src/local/child.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { findFreePort } from '../../src/local/port.ts';
import { systemClock } from '../../src/util/clock.ts';
import { capabilitiesOf, releaseUnderTest } from '../support/chroma-server.ts';
import type { SubjectResponse, Subject } from './subject.ts';

/** From sending a call to ending its connection: long enough to start it, too short for a response beside a large write. */
const CUT_AFTER_MS = 60;

export async function startRealSubject(): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), 'polychrome-conformance-'));
  const [data, copy] = [join(folder, 'data'), join(folder, 'copy')];
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const release = await releaseUnderTest();
  const start = (): Promise<Child> =>
    startChroma({
      name: 'the subject',
      release,
      path: data,
      port,
      logFile: join(folder, 'log'),
      clock: systemClock,
    });
  let child = await start();
  const kill = async (): Promise<void> => {
    child.signal('SIGKILL');
    await child.stop();
  };
  const subject: Subject = {
    capabilities: await capabilitiesOf({ url, stop: kill }),
    async call(method, path, body): Promise<SubjectResponse> {
      const headers = { 'content-type': 'application/json', connection: 'close' };
      const init = { method, headers, ...(body === undefined ? {} : { body }) };
      const response = await fetch(url + path, init);
      return { status: response.status, text: await response.text() };
    },
    async restart() {
      await kill();
      child = await start();
    },
    async keepCopy() {
      await kill();
      await cp(data, copy, { recursive: true });
      child = await start();
    },
    async putBackCopy() {
      await kill();
      await rm(data, { recursive: true });
      await cp(copy, data, { recursive: true });
      await rm(copy, { recursive: true });
      child = await start();
    },
    async cutOff(path, body, busyWith) {
      const busy = subject.call('POST', busyWith.path, busyWith.body);
      await sendAndCut(port, path, body);
      await busy;
    },
    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return subject;
}

/** Sends a whole request and ends the connection a moment later. */
function sendAndCut(port: number, path: string, body: string): Promise<void> {
  const head = `POST ${path} HTTP/1.1\r\nhost: subject\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', reject).once('close', () => resolve());
    socket.write(head + body, () => void pause(CUT_AFTER_MS).then(() => socket.destroy()));
  });
}
