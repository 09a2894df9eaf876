// The release under test has the behaviour that the conformance suite describes and the fake reproduces.

import { afterAll, describe, test } from 'vitest';
import { startRealSubject } from './real-subject.ts';
import { BEHAVIOURS } from './conformance.ts';
import { Conversation } from './subject.ts';

const subject = await startRealSubject();
afterAll(() => subject.stop());

describe('the real server', () => {
  test.each(BEHAVIOURS)('$name', async ({ run }) => {
    const conversation = new Conversation(subject);
    await conversation.begin();
    await run(conversation);
  });
});
