import {expect, test} from 'vitest'
import {doctorText} from '../../../src/cli/checkpoint-doctor-results.ts'
import {palette} from '../../../src/cli/terminal.ts'

const options = {colours: palette(false), columns: undefined}
const node = {
  backends: ['Handler'],
  kernel: '6.12.0',
  criu: '4.2.1',
  runtime: 'containerd 2.3.7',
} as const

test('the doctor shows how each node dumps containers; of an agent of before it is not known', () => {
  const nodes = [
    {...node, node: 'worker-1', dump: 'Direct'},
    {...node, node: 'worker-2', dump: 'Runtime'},
    {...node, node: 'worker-3', dump: undefined},
  ]
  const lines = doctorText('demo', {healthy: true, nodes, findings: []}, options).split('\n')
  const cellOf = (name: string): string => lines.find((line) => line.startsWith(name)) ?? ''
  expect(cellOf('worker-1')).toContain('folder')
  expect(cellOf('worker-2')).toContain('runtime archive')
  expect(cellOf('worker-3')).not.toMatch(/folder|archive|undefined/)
})
