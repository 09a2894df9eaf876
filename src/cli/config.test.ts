import { describe, expect, test } from 'vitest';
import { effectiveSettings } from '../config/config.ts';
import { configCommand } from './config.ts';

async function run(env: Record<string, string>, ...words: string[]): Promise<string> {
  let output = '';
  const write = (text: string | Uint8Array): void => void (output += Buffer.from(text).toString());
  await configCommand({ env, write }).parseAsync(words, { from: 'user' });
  return output;
}

const LEAST = { DATABASE_URL: 'postgres://user:secret@db/one', PRIMARY_URL: 'http://a:8000' };

test('shows every setting with its value and where it comes from', async () => {
  const output = await run({ ...LEAST, PORT: '9000' });
  expect(output).toMatch(/^PORT +9000 +environment$/m);
  expect(output).toMatch(/^HOST +0\.0\.0\.0 +default$/m);
  expect(output).toMatch(/^ADMIN_PORT +- +not set$/m);
});

describe('shows no secret', () => {
  test.each([
    ['DATABASE_URL', 'postgres://user:secret@db/one', 'postgres://***@db/one'],
    ['DATABASE_URL', 'postgres://db/one?password=secret&x=1', 'postgres://db/one?password=***&x=1'],
    ['DATABASE_URL', 'user:secret@db', '***@db'],
    ['NODES', 'a=http://u:secret@a:1,b=http://b:2', 'a=http://***@a:1,b=http://b:2'],
    ['ADMIN_TOKEN', 'a-secret-of-operators', '***'],
    ['NODE_RESTART_COMMAND', 'restart --password secret', '***'],
  ])('of %s=%s', (name, value, shown) => {
    const setting = effectiveSettings({ [name]: value }).find((each) => each.name === name);
    expect(setting).toEqual({ name, value: shown, origin: 'environment' });
  });
});

test('fails with the reason for which a gateway would not start', async () => {
  await expect(run({ ...LEAST, PORT: 'http' }, '--json')).rejects.toThrow('PORT must be a whole number');
});
