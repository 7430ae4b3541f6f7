import {expect, test} from 'vitest'
import {criuFiles, decideCriu} from '../../../../src/bootstrap/phases/criu.ts'
import {parseObserved} from '../../../../src/bootstrap/phases/probe.ts'
import {fileLines, renderer, specOf} from '../../../support/phase-context.ts'

const files = criuFiles(specOf(), renderer)
const folders = 'folder=700 /var/lib/clouder/restore\nfolder=700 /var/lib/clouder/store\n'
const good = `${fileLines(files)}${folders}memory=enabled active\nversion=4.2.1\ncheck=ok\n`
const reasonsFor = (text: string, enabled = true) => decideCriu(enabled, files, parseObserved(text)).reasons

test('a host where all is as wanted needs nothing', () => {
  expect(reasonsFor(good)).toEqual([])
})

test.each([
  ['', 'criu absent'],
  [good.replace('version=4.2.1', 'version=4.1.1'), 'criu is 4.1.1, 4.2 or newer is required'],
  [
    good.replace('check=ok', 'check=Error: no mem_dirty_track'),
    'criu check fails: Error: no mem_dirty_track',
  ],
  [
    good.replace('700 /var/lib/clouder/restore', '755 /var/lib/clouder/restore'),
    '/var/lib/clouder/restore is absent or open to others than root',
  ],
  [good.replace('enabled active', 'enabled inactive'), 'var-lib-clouder-memory.mount is not mounted'],
  [good.replace('enabled active', 'disabled active'), 'var-lib-clouder-memory.mount is not enabled'],
  [good.replace('file=644', 'file=600'), '/etc/criu/runc.conf mode 600 instead of 644'],
])('what differs from the desired content is the reason', (text, reason) => {
  expect(reasonsFor(text)).toContain(reason)
})

test('with checkpointing off what CRIU was told is taken away, and only that', () => {
  expect(decideCriu(false, files, parseObserved(good)).removed).toEqual(files.map(({path}) => path))
  expect(reasonsFor('version=3.17\n', false)).toEqual([])
})

test('a machine that cannot mount memory for dumps is left so', () => {
  expect(reasonsFor(good.replace('enabled active', 'enabled failed'))).toEqual([])
})

test('memory for dumps follows the spec, and is taken away when it is not wanted', () => {
  const spec = specOf('checkpoint: {dumpMemoryPercent: 0}')
  const without = criuFiles(spec, renderer)
  expect(without.map(({path}) => path)).toEqual(['/etc/criu/runc.conf'])
  expect(decideCriu(true, without, parseObserved(good))).toMatchObject({
    removed: ['/etc/systemd/system/var-lib-clouder-memory.mount'],
    mountsMemory: false,
    reasons: [expect.stringContaining('dumpMemoryPercent is 0')],
  })
  const unit = criuFiles(specOf('checkpoint: {dumpMemoryPercent: 30}'), renderer)[1]
  expect(unit?.content).toMatch(/^Options=.*size=30%/m)
})

test('established connections follow the spec', () => {
  const text = (body: string) => criuFiles(specOf(body), renderer)[0]?.content
  expect(text('')).toMatch(/^tcp-close$/m)
  expect(text('checkpoint: {establishedTcp: keep}')).toMatch(/^tcp-established$/m)
})
