import { expect, test } from 'vitest';
import { questionsFrom } from './searches.ts';

const record = (path: string, document: string, position = 0) => ({
  id: `${path}-${position}`,
  document,
  metadata: { document_id: path, path, position },
  embedding: [1],
});

const prose = 'Every mutation is made durable in one ordered log and then applied to every node. '.repeat(8);
const code = '{"a":[1,2,3],"b":"--","c":{}};'.repeat(20);

test('questions are whole words of the prose of the text, not of its tables or licences', () => {
  const records = [
    record('LICENSE', prose),
    record('a.md', code),
    record('a.md', prose, 1),
    record('b.md', code),
    record('b.md', prose, 1),
    record('NOTICE.md', prose),
  ];
  const questions = questionsFrom(records, 2);
  expect(questions.map(({ path }) => path)).toEqual(['a.md', 'b.md']);
  for (const { phrase } of questions) {
    expect(prose).toContain(` ${phrase} `);
    expect(phrase.length).toBeLessThanOrEqual(120);
  }
});

test('a text of one short chunk still gives questions', () => {
  const questions = questionsFrom([record('a', 'word')], 3);
  expect(questions.map(({ phrase }) => phrase)).toEqual(['word', 'word', 'word']);
});
