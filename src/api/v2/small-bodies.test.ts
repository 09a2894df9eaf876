import { expect, test } from 'vitest';
import type { ClientRequest, Handler } from '../../http/router.ts';
import { jsonResponse } from '../../http/response.ts';
import { SMALL_BYTES_MAX, withSmallBodies } from './small-bodies.ts';

const OK = jsonResponse({});
const handler: Handler = async () => OK;
const create = (bytes: number) =>
  withSmallBodies({ create_collection: handler }).create_collection({
    body: Buffer.alloc(bytes),
  } as unknown as ClientRequest);

test('passes a body at the limit to the handler', async () => {
  expect(await create(SMALL_BYTES_MAX)).toBe(OK);
});

test('refuses a larger body before the handler reads it', async () => {
  await expect(create(SMALL_BYTES_MAX + 1)).rejects.toThrow('at most 1048576 bytes. Nothing was changed.');
});
