// The fake Chroma of unit tests has the behaviour of real servers that the suite describes, and their hazards.

import { describe, expect, test } from 'vitest';
import { probeCapabilities } from '../../src/chroma/client/probe-capabilities.ts';
import type { NodeClient } from '../../src/chroma/client/node-client.ts';
import { NodeError } from '../../src/chroma/client/node-error.ts';
import { FakeNode } from '../support/fake-chroma/node.ts';
import { type Disk, FakeChroma } from '../support/fake-chroma/server.ts';
import { COLLECTIONS, HAZARDS, type HazardSubject } from '../support/hazards.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { BEHAVIOURS } from './conformance.ts';
import { type Behaviour, type SubjectResponse, type Subject, Conversation } from './subject.ts';

const READS = /\/(get|query|count)$/;

async function send(
  client: NodeClient,
  method: string,
  path: string,
  body?: string,
): Promise<SubjectResponse> {
  const bytes = body === undefined ? {} : { body: Buffer.from(body) };
  const read = method === 'GET' || READS.test(path);
  const { status, body: text } = read
    ? await client.read({ method: method as 'GET', path, ...bytes, deadlineMs: 1_000 })
    : await client.mutate({ method: method as 'POST', path, ...bytes });
  return { status, text: text.toString() };
}

async function fakeSubject(): Promise<Subject> {
  const node = new FakeNode({ clock: new ManualClock(), server: new FakeChroma(seededRandom(1)) });
  const client = node.client();
  let copy: Disk | null = null;
  return {
    capabilities: await probeCapabilities(client),
    call: (method, path, body) => send(client, method, path, body),
    async restart() {
      node.kill();
      node.start();
    },
    async keepCopy() {
      copy = node.server.disk();
    },
    async putBackCopy() {
      node.kill();
      node.server.restore(copy!);
      node.start();
    },
    async cutOff(path, body, busyWith) {
      node.plan((call) => call.path === path, 'late');
      await expect(send(client, 'POST', path, body)).rejects.toBeInstanceOf(NodeError);
      await send(client, 'POST', busyWith.path, busyWith.body);
      node.runLate();
    },
    async stop() {},
  };
}

async function run(behaviour: Behaviour, subject: Subject): Promise<void> {
  const conversation = new Conversation(subject);
  await conversation.begin();
  await behaviour.run(conversation);
}

describe('the fake', () => {
  test.each(BEHAVIOURS)('$name', async (behaviour) => run(behaviour, await fakeSubject()));
});

describe('on the fake', async () => {
  const { capabilities } = await fakeSubject();
  test.each(HAZARDS.filter((hazard) => hazard.shownBy(capabilities)))(
    '$name',
    async ({ setup, hostile, harmed }) => {
      const meet = async (): Promise<HazardSubject> => {
        const fake = await fakeSubject();
        const created = await fake.call('POST', `/api/v2${COLLECTIONS}`, '{"name":"hazard"}');
        const { id } = JSON.parse(created.text) as { id: string };
        const subject: HazardSubject = {
          request: ({ method, path, body }) => fake.call(method, `/api/v2${path.replace('{id}', id)}`, body),
        };
        for (const request of setup) expect((await subject.request(request)).status).toBeLessThan(300);
        return subject;
      };
      expect(await harmed(await meet(), null)).toBe(false);
      const subject = await meet();
      expect(await harmed(subject, await subject.request(hostile))).toBe(true);
    },
  );
});

describe('the suite reports a subject that', () => {
  const distorted: Record<string, (subject: Subject) => Subject> = {
    'writes 1.0 as 1': (subject) => ({
      ...subject,
      call: async (...asked) => {
        const { status, text } = await subject.call(...asked);
        return { status, text: text.replaceAll('1.0', '1') };
      },
    }),
    'responds with 200 instead of 201': (subject) => ({
      ...subject,
      call: async (...asked) => {
        const { status, text } = await subject.call(...asked);
        return { status: status === 201 ? 200 : status, text };
      },
    }),
    'loses its last write when it is killed': (subject) => ({
      ...subject,
      restart: async () => {
        await subject.putBackCopy();
      },
      call: async (...asked) => {
        if (asked[1].endsWith('/add')) await subject.keepCopy();
        return subject.call(...asked);
      },
    }),
    'never executes a call whose connection ended': (subject) => ({ ...subject, cutOff: async () => {} }),
    'keeps later writes when an older copy is restored': (subject) => ({
      ...subject,
      putBackCopy: async () => {},
    }),
  };

  test.each(Object.entries(distorted))('%s', async (_what, distort) => {
    const failures: string[] = [];
    for (const behaviour of BEHAVIOURS) {
      await run(behaviour, distort(await fakeSubject())).catch(() => failures.push(behaviour.name));
    }
    expect(failures).not.toEqual([]);
    expect(failures.length).toBeLessThan(BEHAVIOURS.length);
  });
});
