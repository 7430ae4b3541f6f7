import {mkdir, readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {TerraformOpener} from '../../../../src/infrastructure/providers/terraform-folder.ts'
import {fakeTerraform} from '../../../support/fake-terraform.ts'
import {contextIn} from '../../../support/local-cluster.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'
import {demoProvider, demoStack, looking, outside, REGION} from '../../../support/terraform-cluster.ts'
import {awsDemo} from '../../../support/terraform-demo.ts'
import {terraformProviderContract} from '../../../support/terraform-provider-contract.ts'

const fake = (dir: string) => Promise.resolve(fakeTerraform(dir))

terraformProviderContract('over the fake', () => Promise.resolve(fake))

test('with deletion policy retain what holds data is kept, with its settings, and the rest goes', async () => {
  await withTempFolder(async (home) => {
    const around = outside()
    const temporaryDir = join(home, 'tmp')
    await mkdir(temporaryDir)
    const stack = {aws_s3_bucket: {data: {}}, aws_s3_bucket_versioning: {data: {}}, aws_vpc: {main: {}}}
    const names = {'storage-names': {}}
    const provider = () =>
      demoProvider(around, fake, temporaryDir, {
        synthesise: (input) => {
          const configuration = demoStack(input, around)
          const {terraform_data: nodes} = Object(configuration['resource']) as {terraform_data: object}
          const resource = {...stack, terraform_data: {...nodes, ...names}}
          return Promise.resolve({...configuration, resource})
        },
      })
    const aws = {region: REGION, deletionPolicy: 'retain'}
    const spec = awsDemo(1, {provider: {kind: 'aws', aws}})
    const context = contextIn(home, 'demo')
    await provider().provision(spec, context)
    const planned = await provider().infra?.plan(spec, looking(context), {goal: 'destroy'})
    const saveTo = join(home, 'removal.tfplan')
    const saved = provider().infra?.plan(spec, looking(context), {goal: 'destroy', saveTo})
    await expect(saved).rejects.toMatchObject({code: 'FLAG_INVALID'})
    const removed = await provider().destroy('demo', context, spec)
    const told = context.recorded.of('note').map(({text}) => text)
    expect(told.filter((text) => text.includes(' is kept'))).toHaveLength(2)
    expect([...removed].sort()).toEqual(planned?.changes.map(({address}) => address).sort())
    expect(removed).toContain('aws_vpc.main')
    expect(removed.filter((address) => address.startsWith('aws_s3_bucket'))).toEqual([])
    expect(removed).not.toContain('terraform_data.storage-names')
    const everything = await provider().destroy('demo', context, awsDemo())
    expect(everything).toEqual([])
  })
})

test.each([
  ['ssm', 'private', ['aws', 'ssm', 'start-session', '--target', 'terraform_data.cp-1']],
  ['ssm', 'public', undefined],
  ['host', 'private', undefined],
] as const)(
  'with bastion %s and %s nodes SSH goes through Session Manager only where that is asked for',
  async (bastion, mode, proxy) => {
    await withTempFolder(async (home) => {
      const temporaryDir = join(home, 'tmp')
      await mkdir(temporaryDir)
      const aws = {region: REGION, bastion, network: {mode}}
      const spec = awsDemo(1, {provider: {kind: 'aws', aws}})
      const {machines} = await demoProvider(outside(), fake, temporaryDir).provision(
        spec,
        contextIn(home, 'demo'),
      )
      expect(machines[0]?.ssh.proxyCommand?.slice(0, 5)).toEqual(proxy)
    })
  },
)

test('Terraform is given the profile that the spec means, and no keys that would come before it', async () => {
  await withTempFolder(async (home) => {
    const seen: object[] = []
    const temporaryDir = join(home, 'tmp')
    await mkdir(temporaryDir)
    const terraformIn: TerraformOpener = (dir, _, variables) => {
      seen.push(variables)
      return fake(dir)
    }
    const provider = () => demoProvider(outside(), terraformIn, temporaryDir)
    const profiled = awsDemo(1, {provider: {kind: 'aws', aws: {region: REGION, profile: 'prod'}}})
    await provider().plan(profiled, looking(contextIn(home, 'demo')))
    await provider().plan(awsDemo(), looking(contextIn(home, 'demo')))
    expect(seen).toEqual([expect.objectContaining({AWS_PROFILE: 'prod', AWS_ACCESS_KEY_ID: undefined}), {}])
  })
})

test('a Terraform that cannot lock the state where it is kept is refused before it runs, also for a destroy', async () => {
  await withTempFolder(async (home) => {
    const temporaryDir = join(home, 'tmp')
    await mkdir(temporaryDir)
    const calls: (readonly string[])[] = []
    const old: TerraformOpener = (dir) => {
      const terraform = fakeTerraform(dir)
      calls.push(terraform.calls)
      return Promise.resolve({...terraform, program: {name: 'tofu', path: '/usr/bin/tofu', version: '1.9.0'}})
    }
    const provider = demoProvider(outside(), old, temporaryDir)
    const spec = awsDemo(1, {state: {backend: 's3', s3: {bucket: 'states', region: REGION}}})
    const context = contextIn(home, 'demo')
    const refusal = {code: 'TERRAFORM_TOO_OLD'}
    await expect(provider.plan(spec, looking(context))).rejects.toMatchObject(refusal)
    await expect(provider.provision(spec, context)).rejects.toMatchObject(refusal)
    await expect(provider.destroy('demo', context, spec)).rejects.toMatchObject(refusal)
    expect(calls).toEqual([[], [], []])
    expect(await readdir(temporaryDir)).toEqual([])
  })
})
