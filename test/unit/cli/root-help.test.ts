import {expect, test} from 'vitest'
import {rootHelp} from '../../../src/cli/root-help.ts'

const program = {bin: 'clouder', version: '1.0.0', description: 'text'}
const command = (id: string) => ({id, summary: `does ${id}`, pluginName: 'clouder'})

test('the root help shows topics in the order in which one meets them, and loses no command', () => {
  const ids = [
    'byoc:run',
    'runtime:ls',
    'kubectl',
    'kubeadm:join',
    'kubeadm:init',
    'cost',
    'ssh',
    'doctor',
    'new:one',
    'bundle:build',
  ]
  const text = rootHelp(program, ids.map(command))
  const headings = [...text.matchAll(/^([A-Z]+)$/gm)].map(([, heading]) => heading)
  expect(headings).toEqual([
    'USAGE',
    'KUBEADM',
    'CLUSTER',
    'RUNTIME',
    'COST',
    'BUNDLE',
    'BYOC',
    'OTHER',
    'EXAMPLES',
  ])
  const listed = [...text.matchAll(/^ {2}(\S.*?) +does /gm)].map(([, name]) => name)
  expect(listed).toEqual([
    ...['kubeadm init', 'kubeadm join', 'doctor', 'ssh', 'kubectl', 'runtime ls', 'cost', 'bundle build'],
    ...['byoc run', 'new one'],
  ])
})

test('a hidden command is not shown', () => {
  expect(rootHelp(program, [command('cost'), {...command('secret'), hidden: true}])).not.toContain('secret')
})
