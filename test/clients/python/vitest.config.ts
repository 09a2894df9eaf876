import { defineConfig } from 'vitest/config';

// `npm run test:python` runs these; `npm test` does not, for they need Python.
export default defineConfig({
  test: {
    include: ['test/clients/python/*.suite.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
