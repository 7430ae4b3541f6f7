import {expect} from 'vitest'
import {z} from 'zod'
import {CONTAINERD_2_4, useContainerd24} from '../support/containerd-2.4.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {endOf, resultOf} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'
import {waitFor} from '../../src/base/waiting.ts'

const smokeSchema = z.object({
  checks: z.array(z.object({name: z.string(), passed: z.boolean(), detail: z.string()})),
})
const {signal} = new AbortController()

const kubectl = (cluster: E2eCluster, words: string): Promise<string> =>
  cluster.read('cp-1', `kubectl --kubeconfig /etc/kubernetes/admin.conf ${words}`)

scenario('containerd 2.4, which has no restore of its own', {prefix: 'c24', workers: 1}, (chapter) => {
  chapter('a cluster comes up, and its machines change to that runtime', async (cluster) => {
    const run = await cluster.init()
    expect(run.exitCode, endOf(run)).toBe(0)
    for (const machine of cluster.machines)
      expect(await useContainerd24(cluster, machine, signal)).toContain(`v${CONTAINERD_2_4}`)
    const wanted = cluster.machines.map(() => `containerd://${CONTAINERD_2_4} True`).join('\n')
    await waitFor({
      what: 'all nodes to be Ready with that runtime',
      check: async () => {
        const path =
          '{range .items[*]}{.status.nodeInfo.containerRuntimeVersion} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
        const seen = (await kubectl(cluster, `get nodes -o jsonpath='${path}'`)).trim()
        return seen === wanted ? {value: true, seen} : {seen}
      },
      timeoutMs: 120_000,
      intervalMs: 500,
      signal,
    })
  })

  chapter('a process goes on from its memory on another node all the same', async (cluster) => {
    const run = await cluster.clouder(['kubeadm', 'smoke-test', cluster.name, '--json'])
    const {checks} = resultOf(run, smokeSchema)
    expect(checks.filter(({passed}) => !passed)).toEqual([])
    expect(checks.at(-1)?.detail).toMatch(/^same token, count \d+ on worker-1, \d+ on cp-1$/)
  })
})
