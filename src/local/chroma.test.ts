import { expect, test } from 'vitest';
import { chromaEnvironment } from './chroma.ts';

test('a server inherits neither our settings nor any that make a stock server another, and sends no telemetry', () => {
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
