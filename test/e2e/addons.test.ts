import {mkdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect} from 'vitest'
import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import type {E2eCluster} from '../support/e2e-cluster.ts'
import {endOf, resultOf, runSchema} from '../support/e2e-results.ts'
import {scenario} from '../support/e2e-scenario.ts'

const listSchema = z.looseObject({
  addons: z.array(
    z.looseObject({
      id: z.string(),
      installed: z.looseObject({revision: z.int(), state: z.string()}).optional(),
    }),
  ),
})
const statusSchema = z.looseObject({
  isReady: z.boolean(),
  addons: z.array(z.looseObject({id: z.string(), isReady: z.boolean()})),
})
const diffSchema = z.looseObject({
  plans: z.array(
    z.looseObject({
      changes: z.array(
        z.looseObject({
          ref: z.looseObject({kind: z.string(), name: z.string()}),
          action: z.string(),
          fields: z.array(z.looseObject({path: z.string()})),
          driftedBy: z.string().optional(),
        }),
      ),
    }),
  ),
})
const MINIMAL = ['checkpoint', 'cni', 'runtime-class']

const addon = (cluster: E2eCluster, ...words: readonly string[]) =>
  cluster.clouder(['addon', ...words, '--cluster', cluster.name, '--json'])

const revisionsOf = async (cluster: E2eCluster) =>
  resultOf(await addon(cluster, 'ls'), listSchema).addons.flatMap(({id, installed}) =>
    installed === undefined ? [] : [`${id} ${installed.revision} ${installed.state}`],
  )

async function installed(cluster: E2eCluster, id: string, ...words: readonly string[]): Promise<void> {
  const run = await addon(cluster, 'install', id, '--yes', ...words)
  expect(run.exitCode, `${id}: ${endOf(run)}`).toBe(0)
}

/** Its own smoke test passes. */
async function works(cluster: E2eCluster, id: string): Promise<void> {
  const run = await addon(cluster, 'smoke', id)
  expect(run.exitCode, `${id}: ${endOf(run)}`).toBe(0)
}

/** A chart of one server, behind a gate that expects a status of it. */
async function writeStack(home: string, server: {replicas: number; status: number}): Promise<string> {
  const chart = join(home, 'stack', 'web')
  await mkdir(join(chart, 'templates'), {recursive: true})
  await writeFile(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: web\nversion: 1.0.0\n')
  const labels = {app: 'web'}
  const container = {name: 'web', image: SMOKE_REFERENCE, args: ['serve'], ports: [{containerPort: 8080}]}
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {name: 'web'},
    spec: {
      replicas: 'REPLICAS',
      selector: {matchLabels: labels},
      template: {metadata: {labels}, spec: {containers: [container]}},
    },
  }
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {name: 'web'},
    spec: {selector: labels, ports: [{port: 8080}]},
  }
  const templates = [deployment, service].map((object) => JSON.stringify(object)).join('\n---\n')
  await writeFile(
    join(chart, 'templates', 'all.yaml'),
    templates.replace('"REPLICAS"', '{{ .Values.replicas }}'),
  )
  const file = join(home, 'stack', 'stack.yaml')
  const gate = {http: {service: 'web', port: 8080, status: server.status, timeoutSeconds: 20}}
  const web = {source: {chart: {path: 'web'}}, values: {replicas: server.replicas}, gate}
  const stack = {apiVersion: API_VERSION, kind: 'Stack', metadata: {name: 'shop'}, services: {web}}
  await writeFile(file, JSON.stringify(stack))
  return file
}

scenario('addons of a local cluster', {prefix: 'e2e-addons', workers: 1}, (chapter) => {
  chapter('init installs those of the profile, and they are ready', async (cluster) => {
    expect((await cluster.init()).exitCode).toBe(0)
    expect((await revisionsOf(cluster)).toSorted()).toEqual(MINIMAL.map((id) => `${id} 1 deployed`))
    const status = resultOf(await addon(cluster, 'status'), statusSchema)
    expect(status).toMatchObject({isReady: true})
    expect(status.addons.map(({id}) => id).toSorted()).toEqual(MINIMAL)
    expect(resultOf(await addon(cluster, 'diff'), diffSchema).plans).toEqual([])
  })

  chapter('a manual change is shown with who made it, and an init corrects it', async (cluster) => {
    const edit = ['--', '-n', 'clouder-system', 'scale', 'deployment', 'clouder-controller', '--replicas=1']
    expect((await cluster.clouder(['kubectl', '--cluster', cluster.name, ...edit])).exitCode).toBe(0)
    const {plans} = resultOf(await addon(cluster, 'diff', 'checkpoint'), diffSchema)
    expect(plans.flatMap(({changes}) => changes)).toMatchObject([
      {
        ref: {kind: 'Deployment', name: 'clouder-controller'},
        action: 'update',
        fields: [{path: 'spec.replicas'}],
        driftedBy: 'kubectl',
      },
    ])
    const {steps} = resultOf(await cluster.init(), runSchema)
    expect(steps.map(({phase}) => phase)).toContain('bootstrap-addons')
    expect(resultOf(await addon(cluster, 'diff'), diffSchema).plans).toEqual([])
    expect(await revisionsOf(cluster)).toContain('checkpoint 2 deployed')
  })

  chapter('what is not ready is shown, and makes the exit code 8', async (cluster) => {
    const command = ['--', '-n', 'clouder-system', 'delete', 'deployment', 'clouder-controller']
    expect((await cluster.clouder(['kubectl', '--cluster', cluster.name, ...command])).exitCode).toBe(0)
    const status = await addon(cluster, 'status', 'checkpoint')
    expect(status.exitCode).toBe(8)
    expect(status.stdout).toContain('Deployment clouder-system/clouder-controller')
    const upgraded = await addon(cluster, 'upgrade', 'checkpoint', '--yes')
    expect(upgraded.exitCode, upgraded.stderr).toBe(0)
    expect((await addon(cluster, 'status')).exitCode).toBe(0)
  })

  chapter('an addon that another one needs is not removed', async (cluster) => {
    const removed = await addon(cluster, 'remove', 'runtime-class', '--yes')
    expect(removed.exitCode).toBe(8)
    expect(removed.stdout).toContain('ADDON_IN_USE')
  })

  chapter(
    'network policies are enforced, and no longer count as ready where nothing enforces them',
    async (cluster) => {
      await installed(cluster, 'network-policies')
      await works(cluster, 'network-policies')
      const router = ['--', '-n', 'kube-system', 'delete', 'daemonset', 'kube-router']
      expect((await cluster.clouder(['kubectl', '--cluster', cluster.name, ...router])).exitCode).toBe(0)
      const status = await addon(cluster, 'status', 'network-policies')
      expect(status.exitCode).toBe(8)
      expect(status.stdout).toContain('policies are not enforced there')
      expect((await addon(cluster, 'upgrade', 'network-policies', '--yes')).exitCode).toBe(0)
    },
  )

  chapter('volumes on the disks of nodes keep their data, and do not grow', async (cluster) => {
    await installed(cluster, 'local-path-storage')
    await works(cluster, 'local-path-storage')
  })

  chapter('metrics of nodes and pods are served', async (cluster) => {
    await installed(cluster, 'metrics-server')
    await works(cluster, 'metrics-server')
  })

  chapter('certificates are issued', async (cluster) => {
    await installed(cluster, 'cert-manager')
    await works(cluster, 'cert-manager')
  })

  chapter('services of type LoadBalancer get an address that answers', async (cluster) => {
    const address = await cluster.read('cp-1', "ip -4 -o addr show eth0 | awk '{print $4}'")
    const network = address.trim().split('.').slice(0, 3).join('.')
    await installed(cluster, 'metallb', '--set', `addresses=[${network}.100-${network}.110]`)
    await works(cluster, 'metallb')
  })

  chapter('requests from outside reach pods by the Gateway API and by an Ingress', async (cluster) => {
    await installed(cluster, 'gateway')
    await works(cluster, 'gateway')
  })

  chapter('metrics are queried and alerts fire', async (cluster) => {
    await installed(cluster, 'monitoring')
    await works(cluster, 'monitoring')
  })

  chapter('a database and a message broker run on volumes', async (cluster) => {
    for (const id of ['postgresql', 'nats']) {
      await installed(cluster, id)
      await works(cluster, id)
    }
  })

  chapter('a rollback brings back an earlier revision with its parameters', async (cluster) => {
    await installed(cluster, 'nats', '--set', 'memoryMebibytes=128')
    expect((await addon(cluster, 'rollback', 'nats', '--yes')).exitCode).toBe(0)
    expect((await addon(cluster, 'status', 'nats')).exitCode).toBe(0)
    expect(resultOf(await addon(cluster, 'diff', 'nats'), diffSchema).plans).toEqual([])
  })

  chapter('a stack is applied, goes back from what fails its gate, and is destroyed', async (cluster) => {
    const file = await writeStack(cluster.home, {replicas: 1, status: 200})
    const stack = (...words: readonly string[]) =>
      cluster.clouder(['stack', ...words, '--cluster', cluster.name, '--json'])
    const applied = await stack('apply', file, '--yes')
    expect(applied.exitCode, endOf(applied)).toBe(0)
    expect((await stack('plan', file)).exitCode).toBe(0)
    const failed = await stack('apply', await writeStack(cluster.home, {replicas: 2, status: 500}), '--yes')
    expect(failed.exitCode).toBe(8)
    expect(failed.stdout).toContain('rolled back')
    const replicas = ['--', '-n', 'shop', 'get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas}']
    expect((await cluster.clouder(['kubectl', '--cluster', cluster.name, ...replicas])).stdout).toBe('1')
    expect((await stack('rollback', 'shop', '--revision', '1', '--yes')).exitCode).toBe(0)
    expect((await stack('status', 'shop')).exitCode).toBe(0)
    expect((await stack('destroy', 'shop', '--yes')).exitCode).toBe(0)
    const namespace = ['--', 'get', 'namespace', 'shop', '--ignore-not-found', '-o', 'name']
    expect((await cluster.clouder(['kubectl', '--cluster', cluster.name, ...namespace])).stdout).toBe('')
  })

  chapter('what is in use is not removed, and what is not leaves nothing behind', async (cluster) => {
    const kept = await addon(cluster, 'remove', 'local-path-storage', '--yes')
    expect(kept.exitCode).toBe(8)
    expect(kept.stdout).toContain('ADDON_IN_USE')
    expect((await addon(cluster, 'remove', 'nats', '--yes')).exitCode).toBe(0)
    const all = ['--', 'get', 'all', '--all-namespaces', '-l', 'clouder.dev/addon=nats', '-o', 'name']
    // Pods end after their StatefulSet is gone.
    const left = async () =>
      (await cluster.clouder(['kubectl', '--cluster', cluster.name, ...all])).stdout.trim()
    await expect.poll(left, {timeout: 60_000, interval: 1000}).toBe('')
    // Since the gateway is there, cert-manager has a certificate for each Gateway that asks for one.
    expect((await addon(cluster, 'upgrade', '--yes')).exitCode).toBe(0)
    expect(resultOf(await addon(cluster, 'diff'), diffSchema).plans).toEqual([])
  })
})
