import {createServer} from 'node:net'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {connectEngine} from '../../../../src/infrastructure/containers/connect.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const signal = AbortSignal.timeout(5000)

test('a socket that is not there says how to get an engine', async () => {
  await withTempFolder(async (dir) => {
    const socket = join(dir, 'none.sock')
    const environment = {DOCKER_HOST: `unix://${socket}`}
    await expect(connectEngine({engine: 'auto', environment, signal})).rejects.toMatchObject({
      code: 'ENGINE_MISSING',
      message: `no container engine responds (${socket}: no such socket)`,
      suggestions: expect.arrayContaining(['npm run quickstart']) as string[],
    })
  })
})

test('an engine on another machine is refused by its address', async () => {
  const environment = {DOCKER_HOST: 'tcp://192.0.2.1:2375'}
  await expect(connectEngine({engine: 'docker', environment, signal})).rejects.toMatchObject({
    code: 'ENGINE_FAILED',
    message: expect.stringContaining('"tcp://192.0.2.1:2375"') as string,
  })
})

test('a socket that takes connections and says nothing ends with the signal', async () => {
  await withTempFolder(async (dir) => {
    const socket = join(dir, 'mute.sock')
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    try {
      const environment = {DOCKER_HOST: `unix://${socket}`}
      const soon = AbortSignal.timeout(100)
      await expect(connectEngine({engine: 'auto', environment, signal: soon})).rejects.toMatchObject({
        name: 'TimeoutError',
      })
    } finally {
      server.close()
    }
  })
})
