import { defineConfig } from 'vitest/config';

// Run by `npm run test:python` only, because they need Python.
export default defineConfig({
  test: {
    include: ['test/clients/python/*.suite.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
