import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir, userInfo} from 'node:os'
import {join} from 'node:path'
import {localHost} from '../../../src/hosts/local.ts'
import {createRedactor} from '../../../src/hosts/redaction.ts'
import {realHostContract} from '../../support/host-contract.ts'

realHostContract('LocalHost', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-local-'))
  const log: string[] = []
  const host = await localHost({
    name: 'here',
    user: userInfo().username,
    token: 'test',
    redactor: createRedactor(),
    log: (line) => log.push(line),
    signal: AbortSignal.timeout(60_000),
  })
  return {
    host,
    dir,
    log,
    async [Symbol.asyncDispose]() {
      await host.close()
      await rm(dir, {recursive: true, force: true})
    },
  }
})
