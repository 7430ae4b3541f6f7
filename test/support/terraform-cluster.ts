import type {Cloud, CloudOpener} from '../../src/infrastructure/clouds/cloud.ts'
import type {Provider, ProviderContext} from '../../src/infrastructure/providers/provider.ts'
import {
  terraformProvider,
  type TerraformProviderOptions,
} from '../../src/infrastructure/providers/terraform-provider.ts'
import {cloudMachine} from '../../src/spec/cloud-machines.ts'
import {plannedNodes} from '../../src/spec/machines.ts'
import {identifyProcess} from '../../src/base/process-identity.ts'
import type {StackInput, TerraformJson} from '../../stacks/input.ts'
import {dataStack} from './terraform-contract.ts'

export const REGION = 'eu-test-1'
export const ACCOUNT = '123456789012'

/** What the outside of a provider on Terraform is set to. */
export interface Outside {
  /** Image that a look-up finds. */
  newestImage: string
  /** A file whose existence makes the last machine fail. */
  failsIf?: string
  /** A file that each machine is written to when it is made, which then takes a while. */
  madeFile?: string
  /** Keys that consoles show, by cloud id; undefined: they stay silent. */
  readonly consoleKeys: (cloudId: string) => readonly string[] | undefined
  readonly account: string
  /** Cloud ids that were asked for, one list per call. */
  readonly asked: (readonly string[])[]
}

export const outside = (more: Partial<Outside> = {}): Outside => ({
  newestImage: 'ami-1',
  consoleKeys: (id) => [`ssh-ed25519 ${Buffer.from(id).toString('base64')}`],
  account: ACCOUNT,
  asked: [],
  ...more,
})

/** A stack like those of the clouds, of resources that live in the state alone. */
export function demoStack(input: StackInput, {newestImage, failsIf, madeFile}: Outside): TerraformJson {
  const nodes = plannedNodes(input.spec)
  const machines = nodes.map(({name, role, pool}, index) => ({
    name,
    role,
    ...(pool === undefined ? {} : {pool}),
    address: `203.0.113.${index + 1}`,
    privateAddress: `10.0.0.${index + 1}`,
    ssh: {user: 'clouder', port: 22},
    labels: {},
    taints: [],
    providerId: `test:///${name}`,
    cloudId: `\${terraform_data.${name}.id}`,
    imageId: input.imageIds[pool ?? role] ?? newestImage,
  }))
  const last = nodes.at(-1)?.name
  const entries = nodes.map(({name, pool}, index): [string, object] => [
    name,
    {
      input: cloudMachine(input.spec, pool).size,
      trigger: [machines[index]?.imageId],
      ...(failsIf !== undefined && name === last ? {failsIf} : {}),
      ...(madeFile === undefined ? {} : {command: `echo ${name} >> '${madeFile}'; sleep 1`}),
    },
  ])
  return dataStack({
    resources: {
      ...Object.fromEntries(entries),
      key: {input: input.sshPublicKey},
      bastion: {input: input.cloudInit},
    },
    outputs: {
      machines,
      endpoint: {internal: '10.0.0.1:6443', external: 'api.test:6443', certSans: ['api.test']},
      bastion: {address: '203.0.113.99', user: 'clouder', cloudId: '${terraform_data.bastion.id}'},
      checkpoints: 'bucket',
      addons: {},
    },
  })
}

/** A cloud that has only what a provider asks; anything else fails the test. */
export function consoleCloud(region: string, {consoleKeys, account, asked}: Outside): Cloud {
  const never = () => Promise.reject(new Error('the cloud was asked for something unexpected'))
  return {
    kind: 'aws',
    region,
    identity: () => Promise.resolve({kind: 'aws', account, principal: 'arn:test', region}),
    hostKeys: (ids) => {
      asked.push(ids)
      const found = ids.flatMap((id) => {
        const keys = consoleKeys(id)
        return keys === undefined ? [] : [[id, keys] as const]
      })
      return Promise.resolve(new Map(found))
    },
    check: () => Promise.resolve([]),
    findOwned: never,
    ownedClusters: never,
    remove: never,
    regions: never,
    vmSizes: never,
  }
}

export function demoProvider(
  around: Outside,
  terraformIn: TerraformProviderOptions['terraformIn'],
  temporaryDir: string,
  more: Partial<TerraformProviderOptions> = {},
): Provider {
  const openCloud: CloudOpener = ({region}) => Promise.resolve(consoleCloud(region ?? REGION, around))
  return terraformProvider({
    kind: 'aws',
    machines: {machineType: 'terraform_data', stoppedFor: ['input']},
    synthesise: (input) => Promise.resolve(demoStack(input, around)),
    terraformIn,
    openCloud,
    temporaryDir,
    owner: {pid: process.pid, hostname: 'laptop', identify: identifyProcess},
    userHome: '/nowhere',
    hostKeysTimeoutMs: 200,
    hostKeysIntervalMs: 10,
    ...more,
  })
}

/** The same context, for looking only. */
export const looking = <T extends ProviderContext>(context: T): T => ({...context, readOnly: true})
