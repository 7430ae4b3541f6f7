import {mkdir, readdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {makeTemporary, removeStale} from '../../../../src/infrastructure/providers/temporary-folder.ts'
import {runFile} from '../../../../src/terraform/leftover.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

test('folders of runs that are dead go, unless their Terraform still works there', async () => {
  await withTempFolder(async (temporaryDir) => {
    const processes = new Map([
      [1, 'boot/100'],
      [2, 'boot/200'],
      [3, 'boot/300'],
    ])
    const identify = (pid: number) => Promise.resolve(processes.get(pid))
    const by = (pid: number, hostname = 'laptop') => ({temporaryDir, owner: {pid, hostname, identify}})
    const [alive, dead] = [await makeTemporary(by(1)), await makeTemporary(by(2))]
    // Its number is another process's by now.
    await makeTemporary(by(3))
    const [elsewhere, working] = [await makeTemporary(by(2, 'container')), await makeTemporary(by(2))]
    await writeFile(join(dead, 'plan.tfplan'), '')
    const run = {pid: 4, identity: 'boot/400', startedAt: '2026-01-02T03:04:05.000Z'}
    await writeFile(runFile(working), JSON.stringify(run))
    await mkdir(join(temporaryDir, 'clouder-terraform-of-mine'))
    processes.delete(2)
    processes.set(3, 'boot/999').set(4, 'boot/400')
    const left = async () => (await readdir(temporaryDir)).map((entry) => join(temporaryDir, entry)).sort()

    await removeStale(by(1))
    const stay = [alive, elsewhere, join(temporaryDir, 'clouder-terraform-of-mine')]
    expect(await left()).toEqual([...stay, working].sort())
    processes.delete(4)
    await removeStale(by(1))
    expect(await left()).toEqual(stay.sort())
  })
})
