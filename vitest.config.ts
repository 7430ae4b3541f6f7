import {accessSync, constants} from 'node:fs'
import {defineConfig} from 'vitest/config'

const suite = (
  name: string,
  include: string[],
  timeoutMs: number,
  parallel: boolean,
  exclude: string[] = [],
) => ({
  test: {
    name,
    include,
    exclude,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    sequence: {shuffle: true},
    fileParallelism: parallel,
    // No unit test changes a module for another: one load of src per worker halves the run.
    isolate: !parallel,
  },
})

/** Every store, program, stroke and policy. */
const CHECKPOINTS = 'test/e2e/checkpoint-*.test.ts'

/**
 * Files with servers, or clusters, of their own. They wait more than they work, so two at once; more would be in each
 * other's way. Vitest begins with those that took longest the last time.
 */
const twoAtOnce = (name: string, include: string[], timeoutMs: number, exclude: string[] = []) => ({
  test: {
    ...suite(name, include, timeoutMs, true, exclude).test,
    isolate: true,
    maxWorkers: 2,
  },
})
const CLUSTER_MS = 1_800_000
/** Tried a few times as unit tests, and as often as they should be with the integration tests. */
const PROPERTIES = 'test/unit/**/*-property.test.ts'
const unit = suite('unit', ['test/unit/**/*.test.ts'], 10_000, true)

export default defineConfig({
  test: {
    // By default one core is left idle; of two that is half.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          ...unit.test,
          env: {CLOUDER_FEW_RUNS: '1', ...inMemory()},
          globalSetup: ['test/support/temp-root.ts'],
        },
      },
      suite('templates', ['test/templates/**/*.test.ts'], 10_000, true),
      suite('stacks', ['test/stacks/**/*.test.ts'], 60_000, true),
      twoAtOnce('integration', ['test/integration/**/*.test.ts', PROPERTIES], 300_000),
      suite('cloud', ['test/cloud/**/*.test.ts'], 1_800_000, false),
      twoAtOnce('e2e', ['test/e2e/**/*.test.ts'], CLUSTER_MS, [CHECKPOINTS]),
      twoAtOnce('checkpoints', [CHECKPOINTS], CLUSTER_MS),
      suite('vm', ['test/vm/**/*.test.ts'], 7_200_000, false),
    ],
  },
})

/** Journals and records are synced at every step, which is most of what unit tests would wait for. */
function inMemory(): Record<string, string> {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return {TMPDIR: `/dev/shm/clouder-unit-${process.pid}`}
  } catch {
    return {}
  }
}
