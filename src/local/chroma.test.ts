import { expect, test } from 'vitest';
import { chromaEnvironment } from './chroma.ts';

test('removes settings of Polychrome and Chroma from the environment, and disables telemetry', () => {
  const inherited = {
    PATH: '/bin',
    HOME: '/home/ada',
    CHROMA_COMMAND: 'chroma run',
    CHROMA_ALLOW_RESET: 'true',
    DATABASE_URL: 'postgresql://postgres:secret@db/postgres',
    NODE_OPTIONS: '--inspect',
    ANONYMIZED_TELEMETRY: 'True',
  };
  expect(chromaEnvironment(inherited)).toEqual({
    PATH: '/bin',
    HOME: '/home/ada',
    ANONYMIZED_TELEMETRY: 'False',
  });
});
