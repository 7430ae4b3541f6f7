import {access} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {clouder, type CliResult} from '../support/cli.ts'
import {
  filesWith,
  listingOf,
  remainsOf,
  resultOf,
  stepLines,
  textOf,
  watchCommandLines,
  writeClusterFile,
} from '../support/byon-cluster.ts'
import {withNodes, type BareNode, type Nodes} from '../support/with-nodes.ts'

const name = 'byon'
const wanted = [
  {name: 'm1'},
  {name: 'm2', login: {user: 'ops', sudo: 'passwordless'}},
  {name: 'm3', os: 'debian-12', login: {user: 'ops', sudo: 'password'}},
  {name: 'm4', login: {user: 'ops', sudo: 'passwordless'}},
] as const

type Run = (...args: readonly string[]) => Promise<CliResult>

test('machines of two distributions become a cluster, leave it, come back, and are given back as they were', (context) =>
  withNodes(context, wanted, async (given) => {
    const [cp, first, second, late] = four(given.nodes)
    const config = await clusterFile(given, {cp, first, second})
    const secret = second.password
    await using watch = watchCommandLines(secret)
    const said: string[] = []
    const run: Run = async (...args) => {
      const environment = {BYON_SUDO: secret}
      const result = await clouder(['kubeadm', ...args, '--json'], {home: given.home, environment})
      said.push(result.stdout, result.stderr)
      return result
    }
    const before = await listings(given.nodes)

    await dryRunChangesNothing(run, config, given.nodes, before)
    await initMakesACluster(run, config, given)
    await joinAddsOne(run, late)
    await resetTakesOneOut(run, first)
    await smokeTestPasses(run, 'dump on Debian 12, restore on Debian 13')
    await initBringsItBack(run, config)
    await smokeTestPasses(run, 'dump on Debian 13, restore on Debian 12')
    await secretIsNowhere(secret, second, given.home, said)

    resultOf(await run('terminate', name, '--yes'))
    await expect(access(join(given.home, 'kubeadm', name))).rejects.toMatchObject({code: 'ENOENT'})
    for (const [index, node] of given.nodes.entries()) {
      expect(await remainsOf(node), `${node.name}: what runs`).toBe('')
      expect(changes(before[index] ?? '', await listingOf(node)), `${node.name}: files`).toEqual([])
    }
    expect(watch.programs, 'the watch saw what ran on the nodes').toContain('kubelet')
    expect(watch.hits, 'the password is on no command line').toEqual([])
    expect(said.join('\n')).not.toContain(secret)
  }))

function four(nodes: readonly BareNode[]): [BareNode, BareNode, BareNode, BareNode] {
  const [cp, first, second, late] = nodes
  if (cp === undefined || first === undefined || second === undefined || late === undefined)
    throw new Error('four machines were wanted')
  return [cp, first, second, late]
}

const clusterFile = (
  {dir}: Nodes,
  {cp, first, second}: {cp: BareNode; first: BareNode; second: BareNode},
): Promise<string> =>
  writeClusterFile(dir, name, {
    provider: {kind: 'byon'},
    ssh: {keyPath: cp.keyPath},
    controlPlane: {hosts: [{address: cp.address, user: 'root'}]},
    workers: [
      {
        labels: {'example.com/rack': 'a'},
        hosts: [
          {address: first.address, user: first.user},
          {address: second.address, user: second.user, sudoPassword: {env: 'BYON_SUDO'}},
        ],
      },
    ],
  })

const listings = (nodes: readonly BareNode[]): Promise<readonly string[]> =>
  Promise.all(nodes.map((node) => listingOf(node)))

/** Lines that only one of two listings has. */
function changes(before: string, after: string): readonly string[] {
  const [old, now] = [before.split('\n'), after.split('\n')]
  const [inOld, inNow] = [new Set(old), new Set(now)]
  return [
    ...old.filter((line) => !inNow.has(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !inOld.has(line)).map((line) => `+ ${line}`),
  ]
}

async function dryRunChangesNothing(
  run: Run,
  config: string,
  nodes: readonly BareNode[],
  before: readonly string[],
): Promise<void> {
  const steps = stepLines(await run('init', '--config', config, '--dry-run'))
  for (const host of ['cp-1', 'worker-1', 'worker-2']) {
    for (const phase of ['artifacts', 'containerd', 'kubernetes'])
      expect(
        steps.filter((line) => line.startsWith(`${host} ${phase}: `)),
        host,
      ).not.toEqual([])
  }
  expect(steps.filter((line) => line.startsWith('cp-1 kubeadm-init: '))).not.toEqual([])
  expect(steps).toContain('worker-2 join: join as worker')
  for (const [index, node] of nodes.entries())
    expect(changes(before[index] ?? '', await listingOf(node)), node.name).toEqual([])
}

async function initMakesACluster(run: Run, config: string, {nodes}: Nodes): Promise<void> {
  const made = await run('init', '--config', config)
  expect(statuses(resultOf(made).nodes)).toEqual({'cp-1': 'Ready', 'worker-1': 'Ready', 'worker-2': 'Ready'})
  const plan = await run('plan', '--config', config, '--detailed-exitcode')
  expect(plan.exitCode, textOf(plan)).toBe(0)
  expect(stepLines(plan)).toEqual([])
  for (const node of nodes.slice(0, 3)) expect(await node.read('criu check')).toContain('Looks good')
}

async function joinAddsOne(run: Run, late: BareNode): Promise<void> {
  const joined = await run('join', name, '--host', `${late.user}@${late.address}`)
  expect(statuses(resultOf(joined).nodes)['worker-3']).toBe('Ready')
  expect(statuses(resultOf(await run('info', name)).live?.nodes)).toEqual({
    'cp-1': 'Ready',
    'worker-1': 'Ready',
    'worker-2': 'Ready',
    'worker-3': 'Ready',
  })
}

async function resetTakesOneOut(run: Run, worker: BareNode): Promise<void> {
  resultOf(await run('reset', name, '--node', 'worker-1', '--yes'))
  expect(statuses(resultOf(await run('info', name)).live?.nodes)).toEqual({
    'cp-1': 'Ready',
    'worker-1': 'absent',
    'worker-2': 'Ready',
    'worker-3': 'Ready',
  })
  expect((await worker.run('systemctl is-active kubelet')).stdout.trim()).toBe('inactive')
  expect(await worker.read('pgrep -x kubelet || true')).toBe('')
  expect(await worker.read('find /etc/kubernetes /var/lib/kubelet /etc/cni -type f')).toBe('')
}

async function initBringsItBack(run: Run, config: string): Promise<void> {
  const healed = await run('init', '--config', config)
  expect(statuses(resultOf(healed).nodes)).toEqual({
    'cp-1': 'Ready',
    'worker-1': 'Ready',
    'worker-2': 'Ready',
    'worker-3': 'Ready',
  })
  const hosts = stepLines(healed).map((line) => line.split(' ')[0])
  expect(new Set(hosts), 'nothing is done on the others').toEqual(new Set(['worker-1', 'cluster']))
}

async function smokeTestPasses(run: Run, what: string): Promise<void> {
  const tested = await run('smoke-test', name)
  expect(
    (resultOf(tested).checks ?? []).filter(({passed}) => !passed),
    what,
  ).toEqual([])
}

async function secretIsNowhere(
  secret: string,
  node: BareNode,
  home: string,
  said: readonly string[],
): Promise<void> {
  expect(said.join('\n')).not.toContain(secret)
  expect(await filesWith(home, secret), 'record, journal, logs').toEqual([])
  const half = secret.length / 2
  // Put together over there, into a file, so that the search does not find its own command line.
  const found = await node.run(
    `printf '%s%s' ${secret.slice(0, half)} ${secret.slice(half)} > /run/pattern
    journalctl --no-pager -o export > /run/journal
    find / -xdev -type f -not -path '/proc/*' -not -path '/sys/*' -print0 | xargs -0 grep -alFf /run/pattern -- /run/journal
    rm /run/journal /run/pattern`,
  )
  expect(found.stdout, 'files of the node').toBe('')
}

const statuses = (
  nodes: readonly {readonly name: string; readonly status: string}[] | undefined,
): Readonly<Record<string, string>> =>
  Object.fromEntries((nodes ?? []).map((node) => [node.name, node.status]))
