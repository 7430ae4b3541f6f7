import {expect, test} from 'vitest'
import {containerdPhase} from '../../../../src/bootstrap/phases/containerd.ts'
import {decideContainerd} from '../../../../src/bootstrap/phases/containerd/decide.ts'
import {settingName} from '../../../../src/bootstrap/phases/containerd/dump.ts'
import {wantedContainerd, type WantedContainerd} from '../../../../src/bootstrap/phases/containerd/wanted.ts'
import {parseObserved} from '../../../../src/bootstrap/phases/probe.ts'
import {fakeFacts, FakeHost} from '../../../support/fake-host.ts'
import {fileLines, phaseContext, plannedBundle, renderer, specOf} from '../../../support/phase-context.ts'

const never = new AbortController().signal
const wantedFor = (body = '', facts = fakeFacts(), labels: Record<string, string> = {}): WantedContainerd => {
  const {machine} = new FakeHost()
  return wantedContainerd(specOf(body), {facts, machine: {...machine, labels}}, plannedBundle, renderer)
}

/** What `containerd config dump` of a containerd that took everything looks like. */
const dumpLines = ({settings}: WantedContainerd): string =>
  // Keys of no section come first, as in any TOML.
  settings
    .toSorted((a, b) => Number(a.section !== '') - Number(b.section !== ''))
    .map(({section, key, value}) => {
      const quoted = section.replace(/io\.containerd\.cri\.v1\.\w+/, "'$&'")
      const header = section === '' ? '' : `dump=  [${quoted}]\n`
      return `${header}dump=    ${key} = ${typeof value === 'string' ? `'${value}'` : String(value)}\n`
    })
    .join('')

const running =
  'ActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n' +
  'FragmentPath=/etc/systemd/system/containerd.service\n' +
  'binary=/opt/clouder/store/1-containerd\nrunning=/opt/clouder/store/1-containerd\n'
const good = (wanted: WantedContainerd): string =>
  running + fileLines([...wanted.daemonFiles, ...wanted.mirrorFiles]) + dumpLines(wanted)

const decide = (wanted: WantedContainerd, text: string) => decideContainerd(wanted, parseObserved(text))

test('a containerd that runs as wanted is left alone', () => {
  const wanted = wantedFor()
  expect(decide(wanted, good(wanted))).toEqual({files: [], removed: [], restart: false, reasons: []})
})

test.each([
  ['ActiveState=active', 'ActiveState=inactive', 'containerd.service is inactive'],
  ['UnitFileState=enabled', 'UnitFileState=disabled', 'containerd.service does not start at boot'],
  [
    'running=/opt/clouder/store/1-containerd',
    'running=/opt/clouder/store/0-containerd (deleted)',
    '/opt/clouder/store/0-containerd (deleted) runs instead of /usr/local/bin/containerd',
  ],
  [
    'FragmentPath=/etc',
    'FragmentPath=/usr/lib',
    'containerd.service runs from /usr/lib/systemd/system/containerd.service',
  ],
  ['NeedDaemonReload=no', 'NeedDaemonReload=yes', 'the unit changed after systemd read it'],
  [
    'ActiveState',
    'newer=/etc/containerd/config.toml\nActiveState',
    '/etc/containerd/config.toml changed after containerd started',
  ],
  [
    'SystemdCgroup = true',
    'SystemdCgroup = false',
    'plugins.io.containerd.cri.v1.runtime.containerd.runtimes.runc.options.SystemdCgroup is false, expected true',
  ],
])('%s -> %s: a restart, with that as the reason', (from, to, reason) => {
  const wanted = wantedFor()
  const decision = decide(wanted, good(wanted).replace(from, to))
  expect(decision).toMatchObject({restart: true, files: []})
  expect(decision.reasons).toEqual([reason])
})

test('a configuration edited by hand is written anew and containerd restarted', () => {
  const wanted = wantedFor()
  const decision = decide(
    wanted,
    good(wanted).replace(/^file=644 [0-9a-f]+ (.*config.toml)$/m, 'file=644 0 $1'),
  )
  expect(decision.files.map(({path}) => path)).toEqual(['/etc/containerd/config.toml'])
  expect(decision.reasons).toEqual(['/etc/containerd/config.toml differs'])
  expect(decision.restart).toBe(true)
})

test('mirrors come and go without a restart', () => {
  const mirror =
    'containerd: {registryMirrors: [{registry: docker.io, endpoints: ["https://mirror.example.com"]}]}'
  const without = wantedFor()
  const wanted = wantedFor(mirror)
  expect(wanted.mirrorFiles[0]?.content).toContain('server = "https://registry-1.docker.io"')
  const added = decide(wanted, good(without))
  expect(added).toMatchObject({
    restart: false,
    reasons: ['/etc/containerd/certs.d/docker.io/hosts.toml absent'],
  })
  const removed = decide(without, `${good(without)}mirror=/etc/containerd/certs.d/docker.io/hosts.toml\n`)
  expect(removed).toMatchObject({restart: false, removed: ['/etc/containerd/certs.d/docker.io/hosts.toml']})
})

const valueOf = (wanted: WantedContainerd, end: string): unknown =>
  wanted.settings.find((setting) => settingName(setting).endsWith(end))?.value

test.each([
  [{container: true, capSysResource: false}, true],
  [{container: true, capSysResource: true}, false],
  [{container: false, capSysResource: false}, false],
  [{container: false, capSysResource: true}, false],
])('only a container host without CAP_SYS_RESOURCE keeps its OOM score: %j', (facts, kept) => {
  const wanted = wantedFor('', fakeFacts(facts))
  expect(valueOf(wanted, 'restrict_oom_score_adj')).toBe(kept)
  expect(wanted.daemonFiles[1]?.content.includes('OOMScoreAdjust=-999')).toBe(!kept)
})

test('the cgroup driver follows the version of cgroups', () => {
  expect(valueOf(wantedFor('', fakeFacts({cgroupVersion: 1})), 'runc.options.SystemdCgroup')).toBe(false)
  expect(valueOf(wantedFor('', fakeFacts({cgroupVersion: 2})), 'runc.options.SystemdCgroup')).toBe(true)
})

test('without checkpointing there is no restoring runtime', () => {
  const wanted = wantedFor('checkpoint: {enabled: false}')
  expect(wanted.daemonFiles[0]?.content).not.toContain('clouder-restore')
  expect(valueOf(wanted, 'enable_criu')).toBe(false)
})

const POOL = {'clouder.dev/checkpoint-images': 'true'}

test.each([
  ['', POOL, false],
  ['checkpoint: {restore: trusted-images}', POOL, true],
  ['checkpoint: {restore: trusted-images}', {}, false],
  ['checkpoint: {enabled: false, restore: trusted-images}', POOL, false],
])('containerd restores from images only where the spec trusts them: %j %j', (body, labels, on) => {
  const wanted = wantedFor(body, fakeFacts(), labels)
  expect(valueOf(wanted, 'enable_experimental_restore_via_create')).toBe(on)
  expect(wanted.daemonFiles[0]?.content).toContain(`enable_experimental_restore_via_create = ${on}\n`)
})

test('a value that containerd does not take fails the step and is named', async () => {
  const wanted = wantedFor()
  const host = new FakeHost()
    .on('containerd/probe.sh', 'ActiveState=inactive\n')
    .on('containerd/apply.sh', dumpLines(wanted).replace("'registry.k8s.io/pause:3.10.1'", "'other/pause:1'"))
  const [step] = await containerdPhase.plan(phaseContext([host]), never)
  if (step?.on === undefined) throw new Error('no step on a host was planned')
  await expect(step.run(host, {signal: never, progress: () => undefined})).rejects.toThrow(
    'pinned_images.sandbox is other/pause:1, expected registry.k8s.io/pause:3.10.1',
  )
})
