import { defineConfig } from 'vitest/config';

// Two test files at a time: the machines these tests are meant for have two cores, and a system test runs
// PostgreSQL and several Chroma servers of its own.
export default defineConfig({
  test: {
    include: ['{src,test,demo,bench}/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
