import {spawn} from 'node:child_process'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  EC2Client,
  RunInstancesCommand,
  TerminateInstancesCommand,
  type ResourceType,
} from '@aws-sdk/client-ec2'
import {expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {waitFor} from '../../../src/base/waiting.ts'
import type {Bundle} from '../../../src/bundle/types.ts'
import {openCloud} from '../../../src/infrastructure/clouds/open.ts'
import type {KubeObject} from '../../../src/kubernetes/types.ts'
import {
  awsCloudProviderAddon,
  cloudConfiguration,
  PART,
} from '../../../src/platform/addons/aws-cloud-provider/addon.ts'
import type {ClusterFacts} from '../../../src/platform/addons/addon.ts'
import {sweep} from '../../../src/workflows/cluster/sweep.ts'
import {argumentsOf, cloudFacts} from '../../support/cloud-addons.ts'
import {freePort} from '../../support/free-port.ts'
import {needMoto} from '../../support/moto.ts'
import {unpackImage} from '../../support/real-bundle.ts'
import {recordingReport} from '../../support/recording-report.ts'
import {tokenOf} from '../../support/service-account.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

const REGION = 'eu-central-1'
const TAINT = 'node.cloudprovider.kubernetes.io/uninitialized'
const PROGRAM = 'bin/aws-cloud-controller-manager'
const LIMIT_MS = 120_000

async function needProgram(bundle: Bundle, context: TestContext): Promise<string> {
  if (!bundle.lock.images.some(({name}) => name === awsCloudProviderAddon.id)) {
    const text = `the bundle ${bundle.dir} has no ${awsCloudProviderAddon.id}: clouder bundle build --source go`
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw new Error(text)
    return context.skip(text)
  }
  const dir = await mkdtemp(join(tmpdir(), 'clouder-provider-'))
  await unpackImage(bundle, awsCloudProviderAddon.id, dir)
  return dir
}

const owned = (kind: ResourceType) => ({
  TagSpecifications: [
    {
      ResourceType: kind,
      Tags: [
        {Key: 'clouder.dev/cluster', Value: 'demo'},
        {Key: 'kubernetes.io/cluster/demo', Value: 'owned'},
      ],
    },
  ],
})

interface Made {
  readonly facts: ClusterFacts
  readonly instanceId: string
  readonly zone: string
}

/** What the stack makes of a cluster, as far as the provider asks about it. */
async function makeCluster(ec2: EC2Client): Promise<Made> {
  const vpc = await ec2.send(new CreateVpcCommand({CidrBlock: '10.0.0.0/16', ...owned('vpc')}))
  const vpcId = vpc.Vpc?.VpcId ?? ''
  const made = await ec2.send(
    new CreateSubnetCommand({VpcId: vpcId, CidrBlock: '10.0.1.0/24', ...owned('subnet')}),
  )
  const subnet = made.Subnet?.SubnetId ?? ''
  const group = await ec2.send(
    new CreateSecurityGroupCommand({
      GroupName: 'demo-balancers',
      Description: 'balancers',
      VpcId: vpcId,
      ...owned('security-group'),
    }),
  )
  const {Instances: [instance] = []} = await ec2.send(
    new RunInstancesCommand({
      ImageId: 'ami-12c6146b',
      InstanceType: 't3.large',
      MinCount: 1,
      MaxCount: 1,
      SubnetId: subnet,
      SecurityGroupIds: [group.GroupId ?? ''],
      ...owned('instance'),
    }),
  )
  const cloud = {vpcId, nodeSubnetIds: subnet, serviceBalancerSecurityGroupId: group.GroupId ?? ''}
  return {
    facts: cloudFacts('aws', {cloud}),
    instanceId: instance?.InstanceId ?? '',
    zone: instance?.Placement?.AvailabilityZone ?? '',
  }
}

const nodeOf = ({instanceId, zone}: Made): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {name: 'worker-1'},
  spec: {
    providerID: `aws:///${zone}/${instanceId}`,
    taints: [{key: TAINT, value: 'true', effect: 'NoSchedule'}],
  },
  status: {conditions: [{type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready'}]},
})

/** A kubeconfig for the account of the addon, so that what it may do is what the addon gives it. */
async function kubeconfigFor(api: ApiServer, facts: ClusterFacts): Promise<string> {
  await api.kube.apply(awsCloudProviderAddon.objects({loadBalancers: true}, facts))
  const {token, ca} = await tokenOf(api, PART)
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: {
          server: `https://127.0.0.1:${api.port}`,
          'tls-server-name': 'kubernetes',
          'certificate-authority-data': Buffer.from(ca ?? '').toString('base64'),
        },
      },
    ],
    users: [{name: 'u', user: {token}}],
    contexts: [{name: 'x', context: {cluster: 'c', user: 'u'}}],
    'current-context': 'x',
  })
}

const nodeSchema = z.looseObject({
  spec: z.looseObject({taints: z.array(z.looseObject({key: z.string()})).default([])}),
  metadata: z.looseObject({labels: z.record(z.string(), z.string()).default({})}),
  status: z.looseObject({
    addresses: z.array(z.looseObject({type: z.string(), address: z.string()})).default([]),
  }),
})
const serviceSchema = z.looseObject({
  status: z.looseObject({
    loadBalancer: z.looseObject({ingress: z.array(z.looseObject({hostname: z.string()})).default([])}),
  }),
})

test(
  'on AWS a node is initialised, a Service gets a load balancer that terminate removes, and a lost machine its node',
  {timeout: 5 * LIMIT_MS},
  async (context) => {
    const {signal} = context
    const bundle = await needBundle(context)
    const dir = await needProgram(bundle, context)
    await using parts = new AsyncDisposableStack()
    parts.defer(() => rm(dir, {recursive: true, force: true}))
    const moto = parts.use(await needMoto(context, {region: REGION}))
    const before = {...process.env}
    parts.defer(() => {
      process.env = before
    })
    Object.assign(process.env, moto.environment)
    const ec2 = new EC2Client({})
    const made = await makeCluster(ec2)
    const api = parts.use(await startApiServer(bundle))
    await writeFile(join(dir, 'kubeconfig'), await kubeconfigFor(api, made.facts), {mode: 0o600})
    await writeFile(join(dir, 'cloud.conf'), cloudConfiguration(made.facts))
    const flags = argumentsOf(awsCloudProviderAddon.objects({loadBalancers: true}, made.facts), 'DaemonSet')
      .filter((flag) => !flag.startsWith('--cloud-config=') && !flag.startsWith('--secure-port='))
      .concat(`--cloud-config=${join(dir, 'cloud.conf')}`, `--secure-port=${await freePort()}`)
      .concat(`--kubeconfig=${join(dir, 'kubeconfig')}`)
    const child = spawn(join(dir, PROGRAM), flags, {stdio: ['ignore', 'ignore', 'pipe']})
    parts.defer(() => {
      child.kill('SIGKILL')
    })
    const output: string[] = []
    child.stderr.setEncoding('utf8').on('data', (text: string) => output.push(text))
    const until = async <T>(what: string, check: () => Promise<T | undefined>): Promise<T> => {
      try {
        return await waitFor({
          what,
          check: async () => {
            if (child.exitCode !== null) throw new Error(`the provider ended with ${child.exitCode}`)
            const value = await check()
            return value === undefined ? {seen: 'not yet'} : {value, seen: 'done'}
          },
          timeoutMs: LIMIT_MS,
          intervalMs: 500,
          signal,
        })
      } catch (error) {
        throw new Error(`${String(error)}\n${output.join('').slice(-4000)}`, {cause: error})
      }
    }

    const ref = {apiVersion: 'v1', kind: 'Node', name: 'worker-1'}
    await api.kube.create(nodeOf(made))
    const node = await until('the node to be initialised', async () => {
      const found = nodeSchema.parse(await api.kube.get(ref))
      const isTainted = found.spec.taints.some(({key}) => key === TAINT)
      // It writes addresses a moment after it has removed the taint.
      return isTainted || found.status.addresses.length === 0 ? undefined : found
    })
    expect(node.metadata.labels).toMatchObject({
      'topology.kubernetes.io/region': REGION,
      'topology.kubernetes.io/zone': made.zone,
      'node.kubernetes.io/instance-type': 't3.large',
    })
    expect(node.status.addresses.map(({type}) => type)).toContain('InternalIP')

    await api.kube.apply([
      {apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'shop'}},
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          namespace: 'shop',
          name: 'web',
          annotations: {
            'service.beta.kubernetes.io/aws-load-balancer-internal': 'true',
            // Of classic ones the emulator gives back no health check, which the provider reads.
            'service.beta.kubernetes.io/aws-load-balancer-type': 'nlb',
          },
        },
        spec: {type: 'LoadBalancer', selector: {app: 'web'}, ports: [{port: 80}]},
      },
    ])
    const service = {apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web'}
    const address = await until('the Service to have an address', async () => {
      const [first] = serviceSchema.parse(await api.kube.get(service)).status.loadBalancer.ingress
      return first?.hostname
    })
    expect(address).toContain('.elb.')
    const cloud = await openCloud({kind: 'aws', signal})
    const balancers = async () =>
      (await cloud.findOwned('demo', signal)).filter(({kind}) => kind === 'load-balancer')
    expect(await balancers()).toHaveLength(1)

    await ec2.send(new TerminateInstancesCommand({InstanceIds: [made.instanceId]}))
    await api.kube.patch(
      ref,
      {
        status: {
          conditions: [{type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', message: 'lost'}],
        },
      },
      {subresource: 'status'},
    )
    await until('the node of the lost machine to be deleted', async () =>
      (await api.kube.get(ref)) === undefined ? true : undefined,
    )

    // The cluster is gone, and nobody gives its load balancer back.
    child.kill('SIGKILL')
    const {report} = recordingReport()
    const options = {cluster: 'demo', cloud, keepData: false, timeoutMs: LIMIT_MS, intervalMs: 500} as const
    const swept = await sweep({...options, scope: 'controllers'}, {report, signal, now: Date.now})
    expect(swept.left).toEqual([])
    expect(swept.removed.filter((text) => text.startsWith('load-balancer'))).toHaveLength(1)
    expect(await balancers()).toEqual([])
  },
)
