import {existsSync} from 'node:fs'
import {readFile, writeFile} from 'node:fs/promises'
import {hostname} from 'node:os'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {withStateBucket} from '../support/state-bucket.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {dataStack} from '../support/terraform-contract.ts'
import {terraformIn, terraformOrSkip} from '../support/with-terraform.ts'

const EXPIRED = {code: 'ExpiredToken', message: 'The provided token has expired.'}
const STATE = '/clouder/demo.tfstate'

test('a state that could not be saved because the token expired is saved by the next run, and nothing is made twice', async (context) => {
  await withTempFolder(async (dir) => {
    await terraformOrSkip(dir, context)
    await withStateBucket(context, async ({backend, environment, refuse, lock}) => {
      const signal = AbortSignal.timeout(120_000)
      const notes: string[] = []
      const onNote = (text: string) => void notes.push(text)
      const opened = () => terraformIn(dir, {environment, onNote, hostname: hostname()})
      const made = join(dir, 'made')
      const stack = {resources: {a: {command: `echo a >> '${made}'`}}, outputs: {list: [1]}, backend}
      await writeFile(join(dir, 'cdk.tf.json'), JSON.stringify(dataStack(stack)))

      const first = await opened()
      await first.init({signal})
      const {file} = await first.plan({signal})
      for (const call of [`PUT ${STATE}`, `DELETE ${STATE}.tflock`]) refuse(call, EXPIRED)
      await expect(first.apply(file, {signal})).rejects.toMatchObject({code: 'CREDENTIALS_EXPIRED'})
      const unsaved = join(dir, 'errored.tfstate')
      expect(existsSync(unsaved)).toBe(true)

      refuse('GET /state', EXPIRED)
      const early = await opened()
      await expect(early.init({signal})).rejects.toMatchObject({code: 'CREDENTIALS_EXPIRED'})
      expect(existsSync(unsaved), 'it is kept until it is saved').toBe(true)

      for (const call of ['GET /state', `PUT ${STATE}`, `DELETE ${STATE}.tflock`]) refuse(call, undefined)
      const next = await opened()
      await next.init({signal})
      expect(notes.join('\n')).toContain('saved the state that an earlier run could not save')
      expect(existsSync(unsaved)).toBe(false)
      expect(await lock()).toBeUndefined()
      expect(await next.plan({signal})).toMatchObject({changes: [], hasChanges: false})
      expect(await readFile(made, 'utf8')).toBe('a\n')
    })
  })
})
