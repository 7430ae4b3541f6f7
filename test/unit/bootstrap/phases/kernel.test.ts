import {expect, test} from 'vitest'
import {decideKernel, readKernel} from '../../../../src/bootstrap/phases/kernel.ts'
import {parseObserved} from '../../../../src/bootstrap/phases/probe.ts'
import {fileLines, renderer} from '../../../support/phase-context.ts'

const SETTINGS = {
  'net.ipv4.ip_forward': 1,
  'net.bridge.bridge-nf-call-iptables': 1,
  'net.bridge.bridge-nf-call-ip6tables': 1,
  'fs.inotify.max_user_instances': 8192,
  'fs.inotify.max_user_watches': 524_288,
  'vm.overcommit_memory': 1,
  'kernel.panic': 10,
  'kernel.panic_on_oops': 1,
}

const settingLines = (changed: Record<string, number> = {}, writable = 'yes'): string =>
  Object.entries({...SETTINGS, ...changed})
    .map(([name, value]) => `sysctl=${name} ${value} ${writable}\n`)
    .join('')
const LOADED = 'module=overlay loaded\nmodule=br_netfilter loaded\n'

const decide = (text: string, container = false) =>
  decideKernel(container, readKernel(parseObserved(text)), renderer)

test('a bare machine gets modules, settings and no swap', () => {
  const decision = decide(
    'module=overlay builtin\nmodule=br_netfilter available\n' +
      'sysctl=net.ipv4.ip_forward 0 yes\nsysctl=fs.inotify.max_user_instances 128 yes\n' +
      'swap=/dev/sda5\nfstab=UUID=1234\n',
  )
  expect(decision.modules).toEqual(['br_netfilter'])
  expect(decision.sysctls).toEqual([
    'net.ipv4.ip_forward=1',
    'net.bridge.bridge-nf-call-iptables=1',
    'net.bridge.bridge-nf-call-ip6tables=1',
    'fs.inotify.max_user_instances=8192',
  ])
  expect(decision.swapOff).toBe(true)
  expect(decision.files.map(({path}) => path)).toEqual([
    '/etc/modules-load.d/clouder.conf',
    '/etc/sysctl.d/90-clouder.conf',
  ])
  expect(decision.files[0]?.content).not.toContain('overlay')
  expect(decision.reasons).toContain('swap is on: /dev/sda5, UUID=1234')
})

test('what a decision writes and sets leaves nothing to do', () => {
  const first = decide(LOADED + settingLines({'net.ipv4.ip_forward': 0}))
  expect(first.reasons).not.toEqual([])
  expect(decide(LOADED + settingLines() + fileLines(first.files)).reasons).toEqual([])
})

test('a higher limit than the floor is kept, now and at boot', () => {
  const raised = settingLines({'fs.inotify.max_user_watches': 1_048_576})
  const first = decide(LOADED + raised)
  expect(first.sysctls).toEqual([])
  expect(first.files.at(-1)?.content).toContain('fs.inotify.max_user_watches = 1048576')
})

test('a limit raised by hand after our file was written is no drift', () => {
  const files = decide(LOADED + settingLines()).files
  const raised = settingLines({'fs.inotify.max_user_watches': 2_000_000})
  const configured = 'configured=fs.inotify.max_user_watches 524288\n'
  expect(decide(LOADED + raised + configured + fileLines(files)).reasons).toEqual([])
})

test('a container host never touches settings and swap of the machine around it', () => {
  const decision = decide(
    LOADED + settingLines({'kernel.panic': 1, 'vm.overcommit_memory': 0}) + 'swap=/dev/vda2\n',
    true,
  )
  expect(decision.sysctls).toEqual([])
  expect(decision.swapOff).toBe(false)
  expect(decision.files.at(-1)?.content).not.toContain('kernel.panic')
  expect(decision.notes).toEqual(['swap is on and stays on, on the machine that runs this container host'])
})

test('a setting that a container host cannot write is told and left out', () => {
  const lines = LOADED + settingLines({'fs.inotify.max_user_instances': 128}, 'no')
  const decision = decide(lines, true)
  expect(decision.sysctls).toEqual([])
  expect(decision.notes).toEqual([
    'fs.inotify.max_user_instances stays 128, expected 8192: a container host cannot set it',
  ])
  expect(decide(lines + fileLines(decision.files), true).reasons).toEqual([])
  expect(decide(lines).sysctls).toEqual(['fs.inotify.max_user_instances=8192'])
})
