import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {afterAll, describe, test, type TestContext} from 'vitest'
import type {ContainerEngine} from '../../src/infrastructure/containers/container-engine.ts'
import {e2eCluster, thingsOf, type E2eCluster} from './e2e-cluster.ts'
import {endOf} from './e2e-results.ts'
import {needEngine} from './with-engine.ts'

export interface ScenarioOptions {
  readonly prefix: string
  readonly workers: number
}

/** Adds the next test of the story; it runs only when all before it passed. */
export type Chapter = (
  title: string,
  body: (cluster: E2eCluster, context: TestContext) => Promise<void>,
) => void

/**
 * Tests in their order over one cluster. After a failure the rest is skipped, and the cluster kept with a line that
 * says where; else everything is removed.
 */
export function scenario(title: string, options: ScenarioOptions, tell: (chapter: Chapter) => void): void {
  describe(title, {shuffle: false}, () => {
    let home = ''
    let cluster: E2eCluster | undefined
    let failed: string | undefined
    const kept = keptCluster()

    tell((name, body) => {
      test(name, async (context) => {
        if (failed !== undefined) context.skip(`"${failed}" failed before it`)
        const engine = await needEngine(context)
        if (cluster === undefined) {
          home = kept?.home ?? (await mkdtemp(join(tmpdir(), 'clouder-e2e-')))
          cluster = e2eCluster({...options, home, engine, ...(kept === undefined ? {} : {name: kept.name})})
        }
        failed = name
        await body(cluster, context).catch((error: unknown) => {
          // One that says that it cannot run here has not failed.
          if (isSkip(error)) failed = undefined
          throw error
        })
        failed = undefined
      })
    })

    afterAll(async () => {
      if (cluster === undefined || kept !== undefined) return
      if (failed === undefined) await removeCluster(cluster)
      else process.stderr.write(keptText(cluster))
    })
  })
}

/** What `context.skip` of vitest throws. */
const isSkip = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'VITEST_PENDING'

/** `CLOUDER_E2E_KEPT='HOME NAME'`: goes on with a cluster that a failed test kept, and keeps it again. */
function keptCluster(): {home: string; name: string} | undefined {
  const [home = '', name] = (process.env['CLOUDER_E2E_KEPT'] ?? '').split(' ')
  return name === undefined ? undefined : {home, name}
}

/** Gives a cluster of its own, which is nothing but a name yet; removed after, or kept when the body throws. */
export async function withCluster<T>(
  engine: ContainerEngine,
  options: ScenarioOptions,
  body: (cluster: E2eCluster) => Promise<T>,
): Promise<T> {
  const home = await mkdtemp(join(tmpdir(), 'clouder-e2e-'))
  const cluster = e2eCluster({...options, home, engine})
  let result: T
  try {
    result = await body(cluster)
  } catch (error) {
    process.stderr.write(keptText(cluster))
    throw error
  }
  await removeCluster(cluster)
  return result
}

/** Terminates a cluster, if it still is there, and removes its home. */
async function removeCluster(cluster: E2eCluster): Promise<void> {
  if ((await thingsOf(cluster.engine, cluster.name)).length > 0) {
    const run = await cluster.clouder(['kubeadm', 'terminate', cluster.name, '--yes', '--json'])
    if (run.exitCode !== 0) throw new Error(`terminate failed: ${endOf(run)}`)
  }
  await rm(cluster.home, {recursive: true, force: true})
}

const keptText = ({home, name}: E2eCluster): string =>
  `the cluster of the failed test is kept: CLOUDER_HOME=${home}, name ${name}
  remove it: CLOUDER_HOME=${home} bin/run.js kubeadm terminate ${name} --yes && rm -r ${home}\n`
