import {expect, test} from 'vitest'
import {waitFor} from '../../src/base/waiting.ts'
import {failureOf, listingOf, resultOf, stepLines, textOf, writeClusterFile} from '../support/byon-cluster.ts'
import {clouder, type CliEvent, type CliResult} from '../support/cli.ts'
import {withNodes, type BareNode} from '../support/with-nodes.ts'

const name = 'faults'

/** Runs `init`; `strike` is done once, when a step of a phase on a host has begun. */
type Init = (strike?: {
  readonly phase: string
  readonly host: string
  readonly step?: string
  readonly event?: string
  readonly does: () => Promise<unknown>
}) => Promise<CliResult>

test('a run that meets a full disk, a cut link, reboots and a dead machine says so, and the next one goes on', (context) =>
  withNodes(context, [{name: 'm1'}, {name: 'm2'}], async ({nodes: [plane, worker], home, dir}) => {
    if (plane === undefined || worker === undefined) throw new Error('two machines were wanted')
    const config = await writeClusterFile(dir, name, {
      provider: {kind: 'byon'},
      ssh: {keyPath: plane.keyPath},
      controlPlane: {hosts: [{address: plane.address}]},
      workers: [{hosts: [{address: worker.address}]}],
    })
    const init: Init = async (strike) => {
      let struck: Promise<unknown> | undefined
      const onEvent = (event: CliEvent): void => {
        if (strike === undefined || struck !== undefined || !isStruck(event, strike)) return
        struck = strike.does()
      }
      const run = await clouder(['kubeadm', 'init', '--config', config, '--json'], {home, onEvent})
      if (strike !== undefined && struck === undefined)
        throw new Error(`${strike.phase} never began on ${strike.host}: ${textOf(run)}`)
      await struck
      return run
    }

    await fullDisk(init, worker)
    await cutLink(init, worker)
    await rebootedWorker(init, worker)
    await rebootedControlPlane(init, plane)
    const made = await init()
    expect(resultOf(made).nodes).toMatchObject([{status: 'Ready'}, {status: 'Ready'}])
    await expectUnitsAtBoot(plane)
    await expectUnitsAtBoot(worker)

    await deadMachine(init, plane, worker)
    expect(resultOf(await init()).nodes, 'the machine that was off is back').toMatchObject([
      {status: 'Ready'},
      {status: 'Ready'},
    ])
    expect(stepLines(await init()), 'nothing is left to do').toEqual([])
  }))

function isStruck(
  event: CliEvent,
  {
    phase,
    host,
    step,
    event: type = 'step-started',
  }: {phase: string; host: string; step?: string; event?: string},
): boolean {
  return (
    event.type === type &&
    event.phase === phase &&
    event.host === host &&
    (step === undefined || event.step === step)
  )
}

async function fullDisk(init: Init, worker: BareNode): Promise<void> {
  await worker.read('mkdir -p /opt/clouder && mount -t tmpfs -o size=40m tmpfs /opt/clouder')
  const {exitCode, text} = failureOf(await init())
  expect(exitCode, text).toBe(7)
  expect(text).toContain('DISK_FULL')
  expect(text).toContain('worker-1')
  expect(text).toContain('/opt/clouder')
  expect(text, 'the other host is not blamed').not.toContain('cp-1')
  await worker.read('umount /opt/clouder')
}

async function cutLink(init: Init, worker: BareNode): Promise<void> {
  const {exitCode, text} = failureOf(
    await init({
      phase: 'artifacts',
      host: 'worker-1',
      event: 'step-progress',
      // What serves the connection, not what listens for new ones.
      does: () => worker.read(`pkill -KILL -f '^sshd(-session)?: root'`),
    }),
  )
  expect(exitCode, text).toBe(6)
  expect(text).toContain('LINK_LOST')
  expect(text).toContain('worker-1')
}

async function rebootedWorker(init: Init, worker: BareNode): Promise<void> {
  const run = await init({phase: 'images', host: 'worker-1', does: () => worker.restart()})
  const {exitCode, text} = failureOf(run)
  expect(exitCode, text).toBe(6)
  expect(text).toContain('worker-1')
}

async function rebootedControlPlane(init: Init, plane: BareNode): Promise<void> {
  const run = await init({
    phase: 'kubeadm-init',
    host: 'cp-1',
    step: 'wait for the API server',
    does: () => plane.restart(),
  })
  const {exitCode, text} = failureOf(run)
  expect(exitCode, text).toBe(6)
  expect(text).toContain('cp-1')
  await waitFor({
    what: 'containerd and kubelet after the reboot',
    check: async () => {
      const {stdout} = await plane.run('systemctl is-active containerd kubelet')
      return stdout === 'active\nactive\n' ? {value: true, seen: stdout} : {seen: stdout}
    },
    timeoutMs: 60_000,
    intervalMs: 500,
    signal: AbortSignal.timeout(60_000),
  })
}

async function expectUnitsAtBoot(node: BareNode): Promise<void> {
  expect((await node.run('systemctl is-enabled containerd kubelet')).stdout, node.name).toBe(
    'enabled\nenabled\n',
  )
}

async function deadMachine(init: Init, plane: BareNode, worker: BareNode): Promise<void> {
  const places = (): Promise<string> => listingOf(plane, '/etc /opt /usr/local')
  const before = await places()
  await worker.stop()
  const {exitCode, text} = failureOf(await init())
  expect(exitCode, text).toBe(6)
  expect(text).toContain('HOST_UNREACHABLE')
  expect(text).toContain('worker-1')
  expect(text).toContain(worker.address)
  expect(await places(), 'nothing was changed elsewhere').toBe(before)
  await worker.start()
}
