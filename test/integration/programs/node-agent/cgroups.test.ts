import {mkdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {openCgroups, type Cgroups} from '../../../../src/programs/node-agent/cgroups.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const ID = '993419b95dbc1ab0d9b6423d88f7508fee854663b4d507aa1f324cfafd5453d4'

interface Tree {
  readonly name: string
  /** Below the mount of cgroups: where the pod is, and how its container's folder is named. */
  readonly pod: string
  readonly container: string
  readonly file: string
  readonly self: string
  readonly values: readonly [frozen: string, thawed: string]
  readonly marker: string | undefined
}

const slice = `kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${UID.replaceAll('-', '_')}.slice`
const trees: readonly Tree[] = [
  {
    name: 'version 1, cgroupfs',
    pod: `freezer/kubepods/besteffort/pod${UID}`,
    container: ID,
    file: 'freezer.state',
    self: 'freezer.self_freezing',
    values: ['FROZEN', 'THAWED'],
    marker: undefined,
  },
  {
    name: 'version 2, systemd',
    pod: slice,
    container: `cri-containerd-${ID}.scope`,
    file: 'cgroup.freeze',
    self: 'cgroup.freeze',
    values: ['1', '0'],
    marker: 'cgroup.controllers',
  },
]

/** A tree as the kernel shows it, with a pause container, a first process 70, a child 71 and one that was run into it. */
async function withTree(
  tree: Tree,
  use: (at: {
    cgroups: Cgroups
    pod: string
    container: string
    killed: number[]
    root: string
  }) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (root) => {
    const pod = join(root, 'cgroup', tree.pod)
    const container = join(pod, tree.container)
    await mkdir(container, {recursive: true})
    await mkdir(join(pod, 'another'))
    if (tree.marker !== undefined) await writeFile(join(root, 'cgroup', tree.marker), '')
    const [, thawed] = tree.values
    for (const folder of [pod, container, join(pod, 'another')]) {
      await writeFile(join(folder, tree.file), thawed)
      await writeFile(join(folder, tree.self), thawed === '0' ? '0' : '0')
      if (tree.file !== tree.self) await writeFile(join(folder, tree.file), thawed)
    }
    await writeFile(join(container, 'cgroup.procs'), '80\n71\n70\n')
    const statuses = {70: [1, '70\t1'], 71: [70, '71\t2'], 80: [1, '80\t9']} as const
    for (const [pid, [parent, inner]] of Object.entries(statuses)) {
      await mkdir(join(root, 'proc', pid), {recursive: true})
      const text = `Name:\tx\nPPid:\t${parent}\nTracerPid:\t0\nNSpid:\t${inner}\nShdPnd:\t0000000000000000\n`
      await writeFile(join(root, 'proc', pid, 'status'), text)
    }
    const killed: number[] = []
    const cgroups = await openCgroups({
      root: join(root, 'cgroup'),
      proc: join(root, 'proc'),
      kill: (pid) => killed.push(pid),
    })
    await use({cgroups, pod, container, killed, root})
  })
}

test.for(trees)('$name: a container is found by its pod and id, with its first process', async (tree) => {
  await withTree(tree, async ({cgroups, pod, container}) => {
    expect(await cgroups.find(UID, ID)).toEqual({version: cgroups.version, pod, container, pid: 70})
    expect(await cgroups.find(UID, 'f'.repeat(64))).toBeUndefined()
    expect(await cgroups.find('00000000-0000-0000-0000-000000000000', ID)).toBeUndefined()
    await expect(cgroups.find('../../..', ID)).rejects.toThrow('not the uid of a pod')
  })
})

test.for(trees)('$name: one container is held while its pod goes on, and thawed with it', async (tree) => {
  await withTree(tree, async ({cgroups, pod, container}) => {
    const found = await cgroups.find(UID, ID)
    if (found === undefined) throw new Error('not found')
    const state = async () => [
      await readFile(join(pod, tree.file), 'utf8'),
      await readFile(join(container, tree.file), 'utf8'),
    ]
    const [frozen, thawed] = tree.values
    await writeFile(join(pod, tree.file), frozen)
    await cgroups.holdContainer(found)
    expect(await state()).toEqual([thawed, frozen])
    await cgroups.thaw(UID)
    expect(await state()).toEqual([thawed, thawed])
    await cgroups.thaw('00000000-0000-0000-0000-000000000000')
  })
})

test('a pod counts as frozen when it or one of its containers is set to be', async () => {
  const [tree] = trees
  if (tree === undefined) throw new Error('no tree')
  await withTree(tree, async ({cgroups, container}) => {
    expect(await cgroups.isFrozen(UID)).toBe(false)
    await writeFile(join(container, tree.self), '1')
    expect(await cgroups.isFrozen(UID)).toBe(true)
  })
})

test('SIGTERM that waits for a frozen process tells that the kubelet ends the pod', async () => {
  const [tree] = trees
  if (tree === undefined) throw new Error('no tree')
  await withTree(tree, async ({cgroups, root}) => {
    expect(await cgroups.isTerminating(UID)).toBe(false)
    await writeFile(join(root, 'proc/70/status'), 'PPid:\t1\nShdPnd:\t0000000000004000\n')
    expect(await cgroups.isTerminating(UID)).toBe(true)
  })
})

test('every process gets SIGKILL before the pod is thawed, until none is left', async () => {
  const [tree] = trees
  if (tree === undefined) throw new Error('no tree')
  await withTree(tree, async ({cgroups, pod, container, killed}) => {
    await writeFile(join(pod, tree.file), 'FROZEN')
    const ending = cgroups.kill(UID)
    await expect.poll(() => killed.length, {interval: 5}).toBeGreaterThanOrEqual(3)
    await writeFile(join(container, 'cgroup.procs'), '')
    await ending
    expect(new Set(killed)).toEqual(new Set([80, 71, 70]))
    expect(await readFile(join(pod, tree.file), 'utf8')).toBe('THAWED')
  })
})
