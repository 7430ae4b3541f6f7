import {expect, test} from 'vitest'
import {nodeCapabilities} from '../../../../src/infrastructure/containers/capabilities.ts'

const status = (bounding: string) =>
  `Name:\tnode\nCapEff:\t0000000000000000\nCapBnd:\t${bounding}\nCapAmb:\t0\n`

test('a machine that holds every capability the kernel knows may hand out all', () => {
  expect(nodeCapabilities(status('000001ffffffffff'), '40\n')).toBe('all')
  expect(nodeCapabilities(status('0000003fffffffff'), '37\n')).toBe('all')
})

test('a machine without SYS_RESOURCE hands out the others by name, without those that older engines do not know', () => {
  const capabilities = nodeCapabilities(status('000001fffeffffff'), '40\n')
  expect(capabilities).toHaveLength(37)
  expect(capabilities).toContain('SYS_ADMIN')
  expect(capabilities).not.toContain('SYS_RESOURCE')
  expect(capabilities).not.toContain('CHECKPOINT_RESTORE')
})
