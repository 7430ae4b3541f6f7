import {spawn, type ChildProcess} from 'node:child_process'
import {readFile, writeFile} from 'node:fs/promises'
import {hostname} from 'node:os'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {identifyProcess} from '../../src/base/process-identity.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {packageRoot} from '../support/cli.ts'
import {withStateBucket} from '../support/state-bucket.ts'
import {withTempFolder} from '../support/temp-folder.ts'
import {dataStack, type DataStack} from '../support/terraform-contract.ts'
import {terraformIn, terraformOrSkip} from '../support/with-terraform.ts'

const signal = AbortSignal.timeout(120_000)
const runSchema = z.object({pid: z.int()})

/** Each resource says on its own line that it was made, and takes a while. */
function slowStack(dir: string, backend?: object): DataStack {
  const command = (name: string) => `echo ${name} >> '${join(dir, 'made')}'; sleep 1`
  return {
    resources: {a: {command: command('a')}, b: {command: command('b')}},
    outputs: {list: [1]},
    ...(backend === undefined ? {} : {backend}),
  }
}

const write = (dir: string, stack: DataStack) =>
  writeFile(join(dir, 'cdk.tf.json'), JSON.stringify(dataStack(stack)))
const madeIn = async (dir: string) => (await readFile(join(dir, 'made'), 'utf8')).trim().split('\n').sort()

/** Applies in a process of its own, as a command line would, until the first resource is begun. */
async function startApply(dir: string, env: NodeJS.ProcessEnv = process.env): Promise<ChildProcess> {
  const script = join(packageRoot, 'test/support/terraform-apply.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', script, dir], {
    cwd: packageRoot,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const begun = Promise.withResolvers<undefined>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (text.includes('started')) begun.resolve(undefined)
  })
  child.once('exit', (code) => begun.reject(new Error(`ended with ${code ?? 'a signal'} before it began`)))
  await begun.promise
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

const terraformPid = async (dir: string) =>
  runSchema.parse(JSON.parse(await readFile(join(dir, 'run.json'), 'utf8'))).pid

test('a Terraform whose clouder is killed ends its work, and the next run waits for it and makes nothing twice', async (context) => {
  await withTempFolder(async (dir) => {
    const notes: string[] = []
    const terraform = await terraformOrSkip(dir, context, {onNote: (text) => notes.push(text)})
    await write(dir, slowStack(dir))
    await kill(await startApply(dir))
    await terraform.init({signal})
    expect(notes[0]).toMatch(/^waiting for Terraform of a killed run, which is still running \(process \d+\)/)
    expect((await terraform.plan({signal})).hasChanges).toBe(false)
    expect(await madeIn(dir)).toEqual(['a', 'b'])
  })
})

test('a lock that a killed run left in a shared state is taken off, and the work is ended', async (context) => {
  await withTempFolder(async (dir) => {
    await withStateBucket(context, async ({backend, environment, lock}) => {
      const notes: string[] = []
      const onNote = (text: string) => void notes.push(text)
      const terraform = await terraformOrSkip(dir, context, {onNote, environment, hostname: hostname()})
      await write(dir, slowStack(dir, backend))
      const child = await startApply(dir, environment)
      const pid = await terraformPid(dir)
      await kill(child)
      process.kill(pid, 'SIGKILL')
      await waitFor({
        what: 'Terraform to be gone',
        check: async () =>
          (await identifyProcess(pid)) === undefined ? {value: true, seen: 'gone'} : {seen: 'there'},
        timeoutMs: 10_000,
        intervalMs: 50,
        signal,
      })
      expect(await lock()).toBeDefined()
      // As every run begins; it takes no lock.
      await terraform.init({signal})
      const plan = await terraform.plan({signal})
      expect(notes.at(-1)).toMatch(
        /^releasing the lock [-0-9a-f]+ on the state, left by a run that was killed here/,
      )
      await terraform.apply(plan.file, {signal})
      expect(await lock()).toBeUndefined()
      expect((await terraform.plan({signal})).hasChanges).toBe(false)
    })
  })
})

test('a Terraform that is killed under a living clouder leaves a lock that the next run takes off', async (context) => {
  await withTempFolder(async (dir) => {
    await withStateBucket(context, async ({backend, environment, lock}) => {
      const terraform = await terraformOrSkip(dir, context, {environment, hostname: hostname()})
      await write(dir, slowStack(dir, backend))
      await terraform.init({signal})
      const {file} = await terraform.plan({signal})
      const killed: Promise<void>[] = []
      const onProgress = () =>
        void killed.push(terraformPid(dir).then((pid) => void process.kill(pid, 'SIGKILL')))
      await expect(terraform.apply(file, {signal, onProgress})).rejects.toMatchObject({
        code: 'TERRAFORM_FAILED',
        message: expect.stringContaining('137') as string,
      })
      await Promise.allSettled(killed)
      expect(await lock()).toBeDefined()
      await terraform.apply((await terraform.plan({signal})).file, {signal})
      expect((await terraform.plan({signal})).hasChanges).toBe(false)
    })
  })
})

test('a lock of somebody else is told with its number and owner, and left alone', async (context) => {
  await withTempFolder(async (dir) => {
    await withStateBucket(context, async ({backend, environment, lock, lockAs}) => {
      const terraform = await terraformOrSkip(dir, context, {environment})
      await write(dir, slowStack(dir, backend))
      await terraform.init({signal})
      await lockAs({
        ID: '11111111-2222-3333-4444-555555555555',
        Who: 'ann@ci-7',
        Operation: 'OperationTypeApply',
        Created: '2026-11-21T12:00:00Z',
      })
      await expect(terraform.plan({signal})).rejects.toMatchObject({
        code: 'STATE_LOCKED',
        exitCode: 5,
        message: expect.stringMatching(/locked by ann@ci-7 .* for apply, lock 11111111-2222/) as string,
      })
      expect((await lock())?.Who).toBe('ann@ci-7')
      // Looking needs no lock.
      expect((await terraform.plan({signal, lock: false})).hasChanges).toBe(true)
    })
  })
})

test('an interrupted apply saves what it made, gives its lock back, and is gone on with', async (context) => {
  await withTempFolder(async (dir) => {
    await withStateBucket(context, async ({backend, environment, lock}) => {
      const terraform = await terraformOrSkip(dir, context, {environment})
      await write(dir, slowStack(dir, backend))
      await terraform.init({signal})
      const {file} = await terraform.plan({signal})
      const stop = new AbortController()
      const applying = terraform.apply(file, {
        signal: AbortSignal.any([stop.signal, signal]),
        onProgress: ({state}) => {
          if (state === 'started') stop.abort(new Error('stopped by the user'))
        },
      })
      await expect(applying).rejects.toThrow('stopped by the user')
      expect(await lock()).toBeUndefined()
      expect(await terraform.stateList({signal})).not.toEqual([])
      const next = await terraform.plan({signal})
      expect(next.hasChanges).toBe(true)
      await terraform.apply(next.file, {signal})
      expect((await terraform.plan({signal})).hasChanges).toBe(false)
    })
  })
})

test('a state that cannot be reached is told, and nothing is made', async (context) => {
  await withTempFolder(async (dir) => {
    const terraform = await terraformOrSkip(dir, context)
    await write(dir, slowStack(dir, {http: {address: 'http://127.0.0.1:9/state', retry_max: 0}}))
    await expect(terraform.init({signal})).rejects.toMatchObject({code: 'BACKEND_UNREACHABLE'})
  })
})

test('another place for the state than before is refused, and told how to move it', async (context) => {
  await withTempFolder(async (dir) => {
    await withStateBucket(context, async ({backend, environment}) => {
      const terraform = await terraformOrSkip(dir, context, {environment})
      await write(dir, slowStack(dir))
      await terraform.init({signal})
      await write(dir, slowStack(dir, backend))
      const error: unknown = await terraform.init({signal}).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({code: 'BACKEND_UNREACHABLE'})
      expect(JSON.stringify(error)).toContain('-migrate-state')
    })
  })
})

test('a configuration that Terraform does not take is told with the place', async (context) => {
  await withTempFolder(async (dir) => {
    const terraform = await terraformOrSkip(dir, context)
    await writeFile(join(dir, 'cdk.tf.json'), JSON.stringify({resource: {terraform_data: {a: {inptu: 1}}}}))
    await terraform.init({signal})
    await expect(terraform.plan({signal})).rejects.toMatchObject({
      code: 'TERRAFORM_FAILED',
      message: expect.stringContaining('Extraneous JSON object property') as string,
    })
  })
})

test('no Terraform, an old one and a broken one are told before anything is touched', async () => {
  await withTempFolder(async (dir) => {
    const program = join(dir, 'tofu')
    const find = (text: string) => {
      const options = {flag: 'w', mode: 0o755}
      return writeFile(program, `#!/bin/sh\n${text}\n`, options).then(() =>
        terraformIn(dir, {}, {PATH: `${dir}:/bin:/usr/bin`, CLOUDER_TERRAFORM: 'tofu'}),
      )
    }
    await expect(terraformIn(dir, {}, {PATH: dir})).rejects.toMatchObject({code: 'TERRAFORM_MISSING'})
    await expect(find(`echo '{"terraform_version": "1.5.7"}'`)).rejects.toMatchObject({
      code: 'TERRAFORM_TOO_OLD',
    })
    await expect(find('echo nonsense; exit 3')).rejects.toMatchObject({code: 'TERRAFORM_FAILED'})
    const {program: found} = await find(`echo '{"terraform_version": "1.9.0"}'`)
    expect(found).toEqual({name: 'tofu', path: program, version: '1.9.0'})
  })
})
