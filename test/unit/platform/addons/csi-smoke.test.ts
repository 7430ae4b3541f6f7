import {expect, test} from 'vitest'
import {z} from 'zod'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import type {Addon} from '../../../../src/platform/addons/addon.ts'
import {CLOUD_ADDONS, cloudFacts, type CloudName} from '../../../support/cloud-addons.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const podSchema = z.looseObject({
  containers: z.tuple([
    z.looseObject({env: z.array(z.looseObject({name: z.string(), value: z.string()})).default([])}),
  ]),
})
const claimSchema = z.looseObject({
  resources: z.looseObject({requests: z.looseObject({storage: z.string()})}),
})

/** A cluster whose pods end at once, and whose volumes hold what the last writer wrote. */
function volumes(read: (pod: string, written: string) => string) {
  let written = ''
  const statusOf = ({kind, metadata, spec}: KubeObject): unknown => {
    if (kind === 'PersistentVolumeClaim')
      return {capacity: {storage: claimSchema.parse(spec).resources.requests.storage}}
    if (kind === 'VolumeSnapshot') return {readyToUse: true}
    if (kind !== 'Pod') return undefined
    const [{env}] = podSchema.parse(spec).containers
    if (metadata.name === 'writer') written = env.find(({name}) => name === 'TEXT')?.value ?? ''
    return {phase: 'Succeeded'}
  }
  const kube = new FakeKube({
    statusOf,
    answer: (path) => {
      const pod = /\/pods\/([^/]+)\/log/.exec(path)?.[1]
      return pod === undefined ? undefined : {status: 200, body: read(pod, written)}
    },
  })
  return kube
}

async function smoke(addon: Addon, cloud: CloudName, kube: FakeKube): Promise<void> {
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'smoke'}})
  await addon.smoke?.run({
    kube,
    facts: cloudFacts(cloud),
    namespace: 'smoke',
    progress: () => undefined,
    signal: new AbortController().signal,
  })
}

const drivers = (['aws', 'azure'] as const).flatMap((cloud) =>
  CLOUD_ADDONS[cloud]
    .filter(({smoke: proves}) => proves !== undefined)
    .map((addon) => [addon.id, cloud, addon] as const),
)

test.for(drivers)(
  'the smoke test of %s on %s passes where volumes keep data, and leaves nothing',
  async ([, cloud, addon]) => {
    const kube = volumes((pod, written) => (pod === 'writer' ? '' : written))
    await smoke(addon, cloud, kube)
    for (const [apiVersion, kind] of [
      ['v1', 'PersistentVolumeClaim'],
      ['v1', 'Pod'],
      ['snapshot.storage.k8s.io/v1', 'VolumeSnapshot'],
    ] as const)
      expect(await kube.list({apiVersion, kind})).toEqual([])
  },
)

test('a snapshot that holds something else fails it', async () => {
  const [, cloud, addon] = drivers.find(([id]) => id === 'aws-ebs-csi') ?? []
  if (cloud === undefined || addon === undefined) throw new Error('there is no EBS driver')
  const kube = volumes((pod, written) => (pod === 'restored' ? 'other' : written))
  await expect(smoke(addon, cloud, kube)).rejects.toMatchObject({
    code: 'SMOKE_TEST_FAILED',
    message: expect.stringContaining('returned "other"') as string,
  })
})

test('a volume that loses data fails it', async () => {
  const [, cloud, addon] = drivers.find(([id]) => id === 'azure-file-csi') ?? []
  if (cloud === undefined || addon === undefined) throw new Error('there is no driver of shares')
  const kube = volumes(() => '')
  await expect(smoke(addon, cloud, kube)).rejects.toMatchObject({code: 'SMOKE_TEST_FAILED'})
})
