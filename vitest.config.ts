import { defineConfig } from 'vitest/config'

/** What takes long: real processes killed by the dozen, servers started, and the package built, packed and installed. */
const slow = ['test/torture/**/*.test.ts', 'test/package/**/*.test.ts', 'test/scripts/engines-*.test.ts']

export default defineConfig({
  test: {
    // A process per test file: tests open databases, and one of them may take its process down.
    pool: 'forks',
    globalSetup: './test/support/postgres-server.ts',
    // The short list first: where only a part of the output is kept, it stands beside the first details.
    reporters: ['./scripts/test-summary.ts', 'default'],
    projects: [
      {
        extends: true,
        test: {
          name: 'quick',
          include: ['test/**/*.test.ts'],
          exclude: slow,
          testTimeout: 10_000,
          // Most of them wait for processes and disks: by default a machine of two cores would get one worker.
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'full',
          include: slow,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // Each is many processes by itself, and some compare how long things take.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
