// The release under test behaves as the conformance suite says: what the fake promises is true of the real one.

import { afterAll, describe, test } from 'vitest';
import { startRealSubject } from './real-subject.ts';
import { BEHAVIOURS } from './conformance.ts';
import { Talk } from './subject.ts';

const subject = await startRealSubject();
afterAll(() => subject.stop());

describe('the real server', () => {
  test.each(BEHAVIOURS)('$name', async ({ run }) => {
    const talk = new Talk(subject);
    await talk.begin();
    await run(talk);
  });
});
