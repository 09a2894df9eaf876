import { expect, test } from 'vitest';
import { refreshed } from './catalog-refresh.ts';

test('refuses a request with 503 when the catalog cannot be read', async () => {
  const refresh = (): Promise<void> => Promise.reject(new Error('Connection terminated unexpectedly'));
  await expect(refreshed({ refresh })).rejects.toMatchObject({ code: 'log_unavailable' });
  await expect(refreshed({ refresh: () => Promise.resolve() })).resolves.toBeUndefined();
});
