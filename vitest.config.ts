import { defineConfig } from 'vitest/config';

// Test files by what they start: the suffix or the folder decides. test/projects.process.test.ts and
// test/support/no-processes.ts check it.
const PROCESS = ['{src,ui,test,demo,bench,scripts}/**/*.process.test.ts'];
const PG = ['{src,test}/**/*.pg.test.ts'];
const SYSTEM = ['test/{system,clients}/**/*.test.ts', '{src,test}/**/*.chroma.test.ts'];
const DIFFERENTIAL = ['test/differential/**/*.test.ts'];
const TEMPLATE = 'test/support/global-postgres-template.ts';
const OWN_PORTS = 'test/support/own-ports.ts';

// Two test files at a time: the machines these tests are meant for have two cores, and a system test runs
// PostgreSQL and several Chroma servers of its own.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // Generous: a busy machine is slow, and only a failure takes so long.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{src,ui,test,demo,bench,scripts}/**/*.test.ts'],
          exclude: [...PROCESS, ...PG, ...SYSTEM, ...DIFFERENTIAL],
          setupFiles: ['test/support/no-processes.ts', 'test/support/fast-check-seed.ts'],
          // Files share their modules, in threads, and Node loads them itself: half the time.
          isolate: false,
          pool: 'threads',
          experimental: { viteModuleRunner: false, nodeLoader: false },
        },
      },
      { extends: true, test: { name: 'process', include: PROCESS, setupFiles: OWN_PORTS } },
      {
        extends: true,
        test: {
          name: 'pg',
          include: PG,
          setupFiles: OWN_PORTS,
          globalSetup: 'test/support/global-postgres.ts',
        },
      },
      {
        extends: true,
        test: { name: 'system', include: SYSTEM, setupFiles: OWN_PORTS, globalSetup: TEMPLATE },
      },
      {
        extends: true,
        test: { name: 'differential', include: DIFFERENTIAL, setupFiles: OWN_PORTS, globalSetup: TEMPLATE },
      },
    ],
  },
});
