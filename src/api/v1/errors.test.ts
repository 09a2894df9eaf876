import { expect, test } from 'vitest';
import { errorResponse } from '../v2/error-responses.ts';
import { olderError } from './errors.ts';

test.each([
  [
    400,
    'InvalidArgumentError',
    'Collection expecting embedding with dimension of 2, got 3',
    400,
    'InvalidDimension',
  ],
  [404, 'NotFoundError', 'Collection [x] does not exist.', 400, 'InvalidCollection'],
  [404, 'NotFoundError', 'Tenant [x] not found', 404, 'NotFoundError'],
  [
    409,
    'ChromaError',
    'Collection [x] already exists',
    409,
    "UniqueConstraintError('Collection [x] already exists')",
  ],
  [422, 'InvalidArgumentError', "it's wrong", 422, 'ValueError("it\'s wrong")'],
  [
    503,
    'ChromaError',
    'durable at LSN 7; outcome pending',
    503,
    "ChromaError('durable at LSN 7; outcome pending')",
  ],
])('turns %i %s into what older clients read', (status, error, message, olderStatus, olderName) => {
  const older = olderError(errorResponse(status, error, message, { 'retry-after': '1' }));
  expect({ ...older, body: JSON.parse(String(older.body)) }).toEqual({
    status: olderStatus,
    headers: { 'retry-after': '1' },
    body: { error: olderName, message },
  });
});

test('leaves a response without an error body alone', () => {
  const response = { status: 413, body: 'Payload too large' };
  expect(olderError(response)).toBe(response);
});
