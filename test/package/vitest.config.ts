import { defineConfig } from 'vitest/config';

// Run by `npm run test:package` only, because npm downloads what the package depends on.
export default defineConfig({
  test: {
    include: ['test/package/*.suite.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 400_000,
  },
});
