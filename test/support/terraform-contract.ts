import {rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test, type TestContext} from 'vitest'
import {TerraformError} from '../../src/terraform/errors.ts'
import type {ResourceChange, Terraform, TerraformProgress} from '../../src/terraform/types.ts'
import {withTempFolder} from './temp-folder.ts'

/** A stack of resources that live in the state alone, so that no provider has to be fetched. */
export interface DataStack {
  /** By name: its input, what makes it anew when it changes, and a file that makes its creation fail. */
  readonly resources: Readonly<
    Record<string, {input?: unknown; trigger?: unknown; failsIf?: string; command?: string}>
  >
  readonly outputs?: Readonly<Record<string, unknown>>
  /** Default: a file in the folder. */
  readonly backend?: object
}

export function dataStack({
  resources,
  outputs = {},
  backend = {local: {path: 'terraform.tfstate'}},
}: DataStack): Readonly<Record<string, unknown>> {
  const blocks = Object.entries(resources).map(
    ([name, {input, trigger, failsIf, command}]): [string, object] => [
      name,
      {
        ...(input === undefined ? {} : {input}),
        ...(trigger === undefined ? {} : {triggers_replace: trigger}),
        ...(failsIf === undefined
          ? {}
          : {provisioner: [{'local-exec': {command: `test ! -e '${failsIf}'`}}]}),
        ...(command === undefined ? {} : {provisioner: [{'local-exec': {command}}]}),
      },
    ],
  )
  return {
    terraform: {backend},
    ...(blocks.length === 0 ? {} : {resource: {terraform_data: Object.fromEntries(blocks)}}),
    ...(Object.keys(outputs).length === 0
      ? {}
      : {output: Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, {value}]))}),
  }
}

interface Bench {
  readonly dir: string
  readonly terraform: Terraform
  readonly signal: AbortSignal
  readonly write: (stack: DataStack) => Promise<void>
}

const summary = (changes: readonly ResourceChange[]) =>
  changes.map(({address, actions}) => `${actions.join('+')} ${address}`).sort()

/** What the provider relies on; every Terraform passes it, the fake too. `make` may skip the test. */
export function terraformContract(
  name: string,
  make: (dir: string, context: TestContext) => Promise<Terraform>,
): void {
  const bench = (use: (bench: Bench) => Promise<void>) => (context: TestContext) =>
    withTempFolder(async (dir) => {
      const terraform = await make(dir, context)
      const write = (stack: DataStack) =>
        writeFile(join(dir, 'cdk.tf.json'), JSON.stringify(dataStack(stack)))
      await use({dir, terraform, signal: AbortSignal.timeout(60_000), write})
    })
  const bringUp = async ({terraform, signal}: Bench): Promise<void> => {
    await terraform.init({signal})
    const {file} = await terraform.plan({signal})
    await terraform.apply(file, {signal})
  }

  test(
    `${name}: what was planned is made, and then there is nothing left to plan`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({
        resources: {a: {input: 'x'}, b: {}},
        outputs: {endpoint: {internal: 'h:1'}, list: [1, 2]},
      })
      await terraform.init({signal})
      expect(await terraform.output({signal})).toBeUndefined()
      expect(await terraform.stateList({signal})).toEqual([])
      const plan = await terraform.plan({signal})
      expect(summary(plan.changes)).toEqual(['create terraform_data.a', 'create terraform_data.b'])
      const outputs = {endpoint: {internal: 'h:1'}, list: [1, 2]}
      expect(plan.hasChanges).toBe(true)
      expect(await plan.outputs({signal})).toEqual(outputs)
      const seen: TerraformProgress[] = []
      const run = {signal, onProgress: (progress: TerraformProgress) => seen.push(progress)}
      expect(await terraform.apply(plan.file, run)).toEqual(outputs)
      const told = seen.map(({address, action, state}) => `${address} ${action} ${state}`)
      expect(told).toContain('terraform_data.a create started')
      expect(told).toContain('terraform_data.b create done')
      expect(await terraform.output({signal})).toEqual(outputs)
      expect([...(await terraform.stateList({signal}))].sort()).toEqual([
        'terraform_data.a',
        'terraform_data.b',
      ])
      expect(await terraform.refresh({signal})).toEqual(outputs)
      expect(await terraform.refresh({signal, targets: ['terraform_data.a']})).toEqual(outputs)
      expect(await terraform.plan({signal})).toMatchObject({changes: [], drift: [], hasChanges: false})
      expect(await terraform.plan({signal, refreshOnly: true})).toMatchObject({drift: [], hasChanges: false})
    }),
  )

  test(
    `${name}: a plan tells what changes in place, what is made anew and why, and what goes`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {input: 'x'}, b: {trigger: 1}, c: {}}})
      await bringUp(all)
      await write({resources: {a: {input: 'y'}, b: {trigger: 2}}})
      const {changes} = await terraform.plan({signal})
      expect(summary(changes)).toEqual([
        'delete terraform_data.c',
        'delete+create terraform_data.b',
        'update terraform_data.a',
      ])
      const byAddress = new Map(changes.map((change) => [change.address, change]))
      expect(byAddress.get('terraform_data.a')?.attributes).toContain('input')
      expect(byAddress.get('terraform_data.b')?.reason).toBe('cannot be changed in place: triggers_replace')
      expect(byAddress.get('terraform_data.c')?.reason).toBe('no resource config')
    }),
  )

  test(
    `${name}: a plan that makes something and changes something else tells both`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {input: 'x'}}})
      await bringUp(all)
      await write({resources: {a: {input: 'y'}, b: {}}})
      const {changes} = await terraform.plan({signal})
      expect(summary(changes)).toEqual(['create terraform_data.b', 'update terraform_data.a'])
      await write({resources: {a: {input: 'x'}, b: {}}, outputs: {list: [1]}})
      const more = await terraform.plan({signal})
      expect(summary(more.changes)).toEqual(['create terraform_data.b'])
      expect(await more.outputs({signal})).toEqual({list: [1]})
    }),
  )

  test(
    `${name}: a saved plan is applied as it was, whatever became of the configuration`,
    bench(async ({terraform, signal, write}) => {
      await write({resources: {a: {}}})
      await terraform.init({signal})
      const {file} = await terraform.plan({signal})
      await write({resources: {a: {}, b: {}}})
      const shown = await terraform.show(file, {signal})
      expect(shown).toMatchObject({hasChanges: true, changes: [{address: 'terraform_data.a'}]})
      await terraform.apply(file, {signal})
      expect(await terraform.stateList({signal})).toEqual(['terraform_data.a'])
    }),
  )

  test(
    `${name}: a plan that is older than the state is refused`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {}}})
      await terraform.init({signal})
      const {file} = await terraform.plan({signal})
      await terraform.apply(file, {signal})
      await expect(terraform.apply(file, {signal})).rejects.toMatchObject({code: 'PLAN_STALE', exitCode: 5})
    }),
  )

  test(
    `${name}: a failure half-way names the resource, and the next run goes on with what is missing`,
    bench(async ({dir, terraform, signal, write}) => {
      const failsIf = join(dir, 'broken')
      await writeFile(failsIf, '')
      await write({resources: {a: {}, b: {failsIf}}, outputs: {list: [1]}})
      await terraform.init({signal})
      const {file} = await terraform.plan({signal})
      const failure: unknown = await terraform.apply(file, {signal}).catch((error: unknown) => error)
      if (!(failure instanceof TerraformError)) throw failure
      expect(failure).toMatchObject({code: 'TERRAFORM_FAILED', exitCode: 5})
      expect(failure.message).toContain('terraform_data.b')
      expect(failure.diagnostics.map(({address}) => address)).toEqual(['terraform_data.b'])
      expect(await terraform.stateList({signal})).toContain('terraform_data.a')
      await rm(failsIf)
      const next = await terraform.plan({signal})
      expect(next.changes.map(({address}) => address)).toEqual(['terraform_data.b'])
      await terraform.apply(next.file, {signal})
      expect((await terraform.plan({signal})).hasChanges).toBe(false)
    }),
  )

  test(
    `${name}: a change of outputs alone is something to do`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {}}, outputs: {list: [1]}})
      await bringUp(all)
      await write({resources: {a: {}}, outputs: {list: [2]}})
      const plan = await terraform.plan({signal})
      expect(plan).toMatchObject({changes: [], hasChanges: true})
      expect(await plan.outputs({signal})).toEqual({list: [2]})
    }),
  )

  test(
    `${name}: a plan tells the outputs of what was there before, and plans what is named alone`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {input: 1}, b: {input: 1}}, outputs: {list: [1]}})
      await terraform.init({signal})
      const first = await terraform.plan({signal})
      expect(first.priorOutputs).toEqual({})
      await terraform.apply(first.file, {signal})
      await write({resources: {a: {input: 2}, b: {input: 2}}, outputs: {list: [1, 2]}})
      const whole = await terraform.plan({signal})
      expect(whole.priorOutputs).toEqual({list: [1]})
      expect((await terraform.show(whole.file, {signal})).priorOutputs).toEqual({list: [1]})
      const one = await terraform.plan({signal, targets: ['terraform_data.b']})
      expect(summary(one.changes)).toEqual(['update terraform_data.b'])
      expect(one.priorOutputs).toEqual({list: [1]})
      await terraform.apply(one.file, {signal})
      expect(summary((await terraform.plan({signal})).changes)).toEqual(['update terraform_data.a'])
    }),
  )

  test(
    `${name}: after a destroy nothing is in the state`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {}, b: {}}, outputs: {list: [1]}})
      await bringUp(all)
      const plan = await terraform.plan({signal, destroy: true})
      expect(summary(plan.changes)).toEqual(['delete terraform_data.a', 'delete terraform_data.b'])
      expect(await terraform.apply(plan.file, {signal})).toBeUndefined()
      expect(await terraform.stateList({signal})).toEqual([])
      expect(await terraform.output({signal})).toBeUndefined()
      expect((await terraform.plan({signal, destroy: true})).hasChanges).toBe(false)
    }),
  )

  test(
    `${name}: what is forgotten is not destroyed with the rest`,
    bench(async (all) => {
      const {terraform, signal, write} = all
      await write({resources: {a: {}, b: {}, c: {}}})
      await bringUp(all)
      expect(await terraform.forget([], {signal})).toEqual([])
      const ids = await terraform.forget(['terraform_data.a', 'terraform_data.c'], {signal})
      expect(new Set(ids.filter((id) => id !== '')).size, 'each has an id of its own').toBe(2)
      expect(await terraform.stateList({signal})).toEqual(['terraform_data.b'])
      const {changes} = await terraform.plan({signal, destroy: true})
      expect(summary(changes)).toEqual(['delete terraform_data.b'])
    }),
  )

  test(
    `${name}: nothing runs for a signal that was aborted before`,
    bench(async ({terraform, write}) => {
      await write({resources: {a: {}}})
      const signal = AbortSignal.abort(new Error('stopped'))
      await expect(terraform.init({signal})).rejects.toThrow('stopped')
      await expect(terraform.plan({signal})).rejects.toThrow('stopped')
    }),
  )
}
