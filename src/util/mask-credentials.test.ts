import { expect, test } from 'vitest';
import { maskCredentials } from './mask-credentials.ts';

test.each([
  ['http://user:secret@host:8000/path', 'http://***@host:8000/path'],
  ['https://secret@host', 'https://***@host'],
  ['http://user:a@b@host/x', 'http://***@host/x'],
  [
    'no response from http://user:secret@a and http://b:8000',
    'no response from http://***@a and http://b:8000',
  ],
  ['http://host:8000/at@path?x=a@b', 'http://host:8000/at@path?x=a@b'],
  ['postgres://user:secret@db/log', 'postgres://***@db/log'],
])('masks %s as %s', (text, shown) => {
  expect(maskCredentials(text)).toBe(shown);
});
