import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {applied} from '../../../../src/infrastructure/providers/terraform-apply.ts'
import {readPins} from '../../../../src/infrastructure/providers/terraform-images.ts'
import type {Outputs, Terraform, TerraformPlan} from '../../../../src/terraform/types.ts'
import {fakeTerraform} from '../../../support/fake-terraform.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'
import {contextIn} from '../../../support/local-cluster.ts'
import {awsDemo} from '../../../support/terraform-demo.ts'

const LOOK_UP = 'data.aws_ami.x86_64'
const outputs: Outputs = {
  machines: [
    {role: 'control-plane', imageId: 'ami-1'},
    {role: 'worker', pool: 'worker', imageId: 'ami-1'},
  ],
}
const OF_GROUPS = {'control-plane': 'ami-1', worker: 'ami-1'}

/** Applies a plan; gives the pins when the apply began and afterwards, and how often the plan was read for its outputs. */
async function pinsOf({
  read,
  isCut = false,
}: {
  readonly read: TerraformPlan['read']
  readonly isCut?: boolean
}) {
  let asked = 0
  const pins: unknown[] = []
  await withTempFolder(async (dir) => {
    const spec = awsDemo()
    const plan: TerraformPlan = {
      changes: [{address: 'aws_instance.cp-1', type: 'aws_instance', actions: ['create']}],
      drift: [],
      hasChanges: true,
      outputs: () => {
        asked += 1
        return Promise.resolve(outputs)
      },
      priorOutputs: {},
      read,
      file: 'plan.tfplan',
    }
    const terraform: Terraform = {
      ...fakeTerraform(dir),
      apply: async () => {
        pins.push(await readPins(dir, spec))
        if (isCut) throw new Error('cut short')
        return outputs
      },
      refresh: () => Promise.resolve(undefined),
    }
    await writeFile(join(dir, 'cdk.tf.json'), '{}')
    const folder = {
      dir,
      terraform,
      write: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
    const run = applied(plan, 'Make it', folder, spec, contextIn(dir, 'demo'))
    await (isCut ? expect(run).rejects.toThrow('cut short') : expect(run).resolves.toEqual(outputs))
    pins.push(await readPins(dir, spec))
  })
  return {pins, asked}
}

test('what a plan looked up is pinned before the first machine, without the plan being read for it', async () => {
  const found = {[LOOK_UP]: 'ami-1'}
  expect(await pinsOf({read: found, isCut: true})).toEqual({pins: [found, found], asked: 0})
})

test('when all is made, each group has its image, and a new one is looked up anew', async () => {
  expect(await pinsOf({read: {[LOOK_UP]: 'ami-1', 'data.aws_caller_identity.own': '1'}})).toEqual({
    pins: [{[LOOK_UP]: 'ami-1'}, OF_GROUPS],
    asked: 0,
  })
})

test('a plan that looked up no image is read for those that it names', async () => {
  expect(await pinsOf({read: {}})).toEqual({pins: [OF_GROUPS, OF_GROUPS], asked: 1})
})
