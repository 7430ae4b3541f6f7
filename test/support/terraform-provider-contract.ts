import {existsSync} from 'node:fs'
import {mkdir, readFile, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test, type TestContext} from 'vitest'
import type {MachineChange, Provider} from '../../src/infrastructure/providers/provider.ts'
import {readPublicKey} from '../../src/infrastructure/providers/ssh-key.ts'
import type {TerraformProviderOptions} from '../../src/infrastructure/providers/terraform-provider.ts'
import {contextIn, type TestContext as Context} from './local-cluster.ts'
import {withTempFolder} from './temp-folder.ts'
import {demoProvider, looking, outside, type Outside} from './terraform-cluster.ts'
import {awsDemo} from './terraform-demo.ts'

type TerraformIn = TerraformProviderOptions['terraformIn']

interface Bench {
  readonly home: string
  readonly context: Context
  readonly around: Outside
  /** As one command line has it. */
  readonly provider: (more?: Partial<TerraformProviderOptions>) => Provider
}

/** What everything after relies on, over any Terraform. `make` may skip the test. */
export function terraformProviderContract(
  name: string,
  make: (context: TestContext) => Promise<TerraformIn>,
): void {
  const bench =
    (use: (bench: Bench) => Promise<void>, around = outside()) =>
    (test: TestContext) =>
      withTempFolder(async (home) => {
        const terraformIn = await make(test)
        const temporaryDir = join(home, 'tmp')
        await mkdir(temporaryDir)
        const provider: Bench['provider'] = (more) => demoProvider(around, terraformIn, temporaryDir, more)
        await use({home, context: contextIn(home, 'demo'), around, provider})
      })

  test(
    `${name}: a plan for nothing yet lists everything and leaves nothing behind`,
    bench(async ({home, context, provider}) => {
      const changes = await provider().plan(awsDemo(), looking(context))
      expect(changes.map(({action, what}) => `${action} ${what}`).sort()).toEqual([
        'create terraform_data.bastion',
        'create terraform_data.cp-1',
        'create terraform_data.key',
        'create terraform_data.worker-1',
      ])
      expect(await provider().inspect(awsDemo(), looking(context))).toBeUndefined()
      expect(existsSync(join(home, 'clouder'))).toBe(false)
      expect(existsSync(join(home, 'tmp'))).toBe(true)
    }),
  )

  test(
    `${name}: machines come with the host keys of their consoles, their key and their bastion`,
    bench(async ({context, provider}) => {
      const {machines, endpoint} = await provider().provision(awsDemo(), context)
      expect(endpoint).toEqual({
        internal: '10.0.0.1:6443',
        external: 'api.test:6443',
        certSans: ['api.test'],
      })
      expect(machines.map((machine) => machine.name)).toEqual(['cp-1', 'worker-1'])
      const [first] = machines
      expect(first).toMatchObject({
        role: 'control-plane',
        address: '203.0.113.1',
        providerId: 'test:///cp-1',
        ssh: {user: 'clouder', port: 22, keyPath: context.paths.sshKey},
      })
      expect(first?.ssh.hostKeys).toHaveLength(1)
      expect(first?.ssh.bastion).toMatchObject({address: '203.0.113.99', keyPath: context.paths.sshKey})
      expect(first?.ssh.bastion?.hostKeys).toHaveLength(1)
      expect(first).not.toHaveProperty('cloudId')
      expect(await readFile(context.paths.sshKey, 'utf8')).toContain('OPENSSH PRIVATE KEY')
    }),
  )

  test(
    `${name}: after a provision the plan is empty, and another one changes nothing and asks no console`,
    bench(async ({context, around, provider}) => {
      const made = await provider().provision(awsDemo(), context)
      const calls = around.asked.length
      expect(await provider().plan(awsDemo(), looking(context))).toEqual([])
      expect(await provider().plan(awsDemo(), context)).toEqual([])
      expect(await provider().provision(awsDemo(), context)).toEqual(made)
      expect(await provider().inspect(awsDemo(), looking(context))).toEqual(made)
      expect(around.asked).toHaveLength(calls)
    }),
  )

  test(
    `${name}: a newer image changes no machine that is there, and new ones are like them`,
    bench(async ({context, around, provider}) => {
      await provider().provision(awsDemo(), context)
      around.newestImage = 'ami-2'
      expect(await provider().plan(awsDemo(), looking(context))).toEqual([])
      const changes = await provider().plan(awsDemo(2), looking(context))
      expect(changes.map(({action, what}) => `${action} ${what}`)).toEqual(['create terraform_data.worker-2'])
      const {machines} = await provider().provision(awsDemo(2), context)
      expect(machines).toHaveLength(3)
      const stack = await provider().infra?.synthesise(awsDemo(2), looking(context))
      expect(JSON.stringify(stack)).not.toContain('ami-2')
    }),
  )

  test(
    `${name}: what fails half-way is gone on with, by images and keys that were pinned before`,
    bench(async ({home, context, around, provider}) => {
      const failsIf = join(home, 'broken')
      await writeFile(failsIf, '')
      around.failsIf = failsIf
      await expect(provider().provision(awsDemo(), context)).rejects.toMatchObject({
        code: 'TERRAFORM_FAILED',
        diagnostics: [{address: 'terraform_data.worker-1'}],
      })
      expect(context.recorded.of('phase-failed')).toHaveLength(1)
      expect(context.recorded.of('step-failed').map(({step}) => step)).toEqual([
        'create terraform_data.worker-1',
      ])
      await rm(failsIf)
      around.newestImage = 'ami-2'
      const left = await provider().plan(awsDemo(), looking(context))
      expect(left.map(({what}) => what)).toEqual(['terraform_data.worker-1'])
      expect((await provider().provision(awsDemo(), context)).machines).toHaveLength(2)
      expect(await provider().plan(awsDemo(), looking(context))).toEqual([])
    }),
  )

  test(
    `${name}: the plan that was agreed to is the one that is applied`,
    bench(async ({context, around, provider}) => {
      const one = provider()
      const spec = awsDemo()
      await one.plan(spec, context)
      around.newestImage = 'ami-2'
      await one.provision(spec, context)
      const outputs = await provider().infra?.outputs(spec, looking(context))
      expect(JSON.stringify(outputs)).toContain('ami-1')
      expect(JSON.stringify(outputs)).not.toContain('ami-2')
    }),
  )

  test(
    `${name}: a saved plan of another run is applied as it is`,
    bench(async ({home, context, provider}) => {
      const saveTo = join(home, 'saved.tfplan')
      const planned = await provider().infra?.plan(awsDemo(), looking(context), {goal: 'apply', saveTo})
      expect(planned).toMatchObject({hasChanges: true})
      const shown: string[] = []
      const agree = (changes: readonly MachineChange[]) => {
        shown.push(...changes.map(({what}) => what))
        return Promise.resolve()
      }
      const made = await provider().infra?.apply(saveTo, awsDemo(), context, agree)
      expect(made?.machines).toHaveLength(2)
      expect(shown).toHaveLength(4)
      // The key that it holds is the one that everything after logs in with.
      expect(await provider().plan(awsDemo(), looking(context))).toEqual([])
      await rm(context.paths.sshKey)
      const lost = provider().infra?.apply(saveTo, awsDemo(), context, agree)
      await expect(lost).rejects.toMatchObject({code: 'CLUSTER_MISMATCH'})
      await expect(provider().plan(awsDemo(), context)).rejects.toMatchObject({code: 'CLUSTER_MISMATCH'})
    }),
  )

  test(
    `${name}: what is synthesised lets in a key that stays, for it is applied elsewhere`,
    bench(async ({context, provider}) => {
      const terraformIn = () => Promise.reject(new Error('no Terraform is needed for it'))
      const stack = await provider({terraformIn}).infra?.synthesise(awsDemo(), looking(context))
      const key = (await readPublicKey(context.paths.sshKey)) ?? 'none'
      expect(JSON.stringify(stack)).toContain(key)
      expect(await provider({terraformIn}).infra?.synthesise(awsDemo(), looking(context))).toEqual(stack)
    }),
  )

  test(
    `${name}: a destroy leaves nothing, and a second one has nothing to do`,
    bench(async ({context, provider}) => {
      expect(await provider().destroy('demo', context)).toEqual([])
      await provider().provision(awsDemo(), context)
      const removed = await provider().destroy('demo', context)
      expect([...removed].sort()).toEqual([
        'terraform_data.bastion',
        'terraform_data.cp-1',
        'terraform_data.key',
        'terraform_data.worker-1',
      ])
      expect(await provider().destroy('demo', context)).toEqual([])
      expect(await provider().inspect(awsDemo(), looking(context))).toBeUndefined()
    }),
  )

  test(
    `${name}: machines whose consoles stay silent are told with first-use, and refused with strict`,
    bench(
      async ({context, around, provider}) => {
        const strict = awsDemo(1, {ssh: {hostKeys: 'strict'}})
        await expect(provider().provision(strict, context)).rejects.toMatchObject({
          code: 'HOST_KEY_UNKNOWN',
        })
        const {machines} = await provider().provision(awsDemo(), context)
        expect(machines.map(({ssh}) => ssh.hostKeys)).toEqual([[], []])
        const warnings = context.recorded.of('note').filter(({level}) => level === 'warning')
        expect(warnings).toHaveLength(1)
        const calls = around.asked.length
        await provider().provision(awsDemo(), context)
        expect(around.asked).toHaveLength(calls)
      },
      outside({consoleKeys: () => undefined}),
    ),
  )

  test(
    `${name}: outputs that Terraform gave elsewhere become machines`,
    bench(async ({context, provider}) => {
      await provider().provision(awsDemo(), context)
      const outputs = (await provider().infra?.outputs(awsDemo(), context)) ?? {}
      const printed = Object.fromEntries(
        Object.entries(outputs).map(([key, value]) => [key, {sensitive: false, type: 'dynamic', value}]),
      )
      const found = await provider().infra?.fromOutputs(printed, awsDemo(), context)
      expect(found).toEqual(await provider().inspect(awsDemo(), context))
      await expect(provider().infra?.fromOutputs({}, awsDemo(), context)).rejects.toMatchObject({
        code: 'TERRAFORM_FAILED',
      })
    }),
  )
}
