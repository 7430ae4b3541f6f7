import {expect, test} from 'vitest'
import {checkBackend} from '../../../src/terraform/program.ts'

test.each([
  ['1.6.0', 'local', false],
  ['1.9.8', 'azurerm', false],
  ['1.9.8', 's3', true],
  ['1.10.0', 's3', false],
  ['1.10.0-rc1', 's3', false],
  ['1.11.4', 's3', false],
  ['2.0.0', 's3', false],
])('version %s with the state in %s is too old: %s', (version, backend, isTooOld) => {
  const check = () => checkBackend({name: 'tofu', path: '/usr/bin/tofu', version}, backend)
  if (!isTooOld) expect(check).not.toThrow()
  else
    expect(check).toThrow(
      expect.objectContaining({
        code: 'TERRAFORM_TOO_OLD',
        message: `/usr/bin/tofu is ${version}: it cannot lock a state in S3, which needs 1.10.0 or newer`,
      }),
    )
})
