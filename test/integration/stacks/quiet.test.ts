import {join} from 'node:path'
import {expect, test} from 'vitest'
import {writeClusterFile} from '../../support/byon-cluster.ts'
import {clouder} from '../../support/cli.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

test.each([
  ['aws', {region: 'eu-central-1', account: '123456789012'}],
  ['azure', {location: 'westeurope', subscription: '11111111-2222-3333-4444-555555555555'}],
])('the stack of %s is written without a warning of a library', (kind, settings) =>
  withTempFolder(async (dir) => {
    const spec = {provider: {kind, [kind]: settings}, access: {adminCidrs: ['203.0.113.0/24']}}
    const config = await writeClusterFile(dir, 'quiet', spec)
    const args = ['infra', 'synth', '--config', config, '--out', join(dir, 'infra')]
    const {exitCode, stderr} = await clouder(args, {home: dir})
    expect(stderr).toBe('')
    expect(exitCode).toBe(0)
  }),
)
