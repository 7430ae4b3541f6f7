import {randomBytes} from 'node:crypto'
import {join} from 'node:path'
import {DescribeInstanceAttributeCommand, DescribeInstancesCommand, EC2Client} from '@aws-sdk/client-ec2'
import {
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2'
import {parse} from 'yaml'
import {z} from 'zod'
import type {ContainerEngine} from '../../src/infrastructure/containers/container-engine.ts'
import {ensureNodeImage} from '../../src/infrastructure/containers/node-image.ts'
import {CLUSTER_LABEL, containerName, networkName} from '../../src/infrastructure/providers/local-decision.ts'
import {readLocalMachine} from '../../src/infrastructure/providers/local-machine.ts'
import {createNode, waitForNode, type NodeTools} from '../../src/infrastructure/providers/local-node.ts'
import {ensureSshKey} from '../../src/infrastructure/providers/ssh-key.ts'
import type {Emulator} from './aws-front.ts'
import {contextIn, specOf} from './local-cluster.ts'
import {localOptions, localProviderHere} from './with-engine.ts'

export interface AwsBodies extends AsyncDisposable {
  /** Label value of the containers, the network and the volumes. */
  readonly label: string
  /** What the instance printed to its console at first boot; boots its body when it has none yet. */
  consoleOf(instanceId: string): Promise<string>
  /** Runs bash text on an instance as root, beside SSH. */
  read(instanceId: string, script: string): Promise<string>
}

export interface AwsBodiesOptions {
  readonly emulator: Emulator
  readonly engine: ContainerEngine
  /** Addresses of the VPC; free on this machine. */
  readonly vpcCidr: string
  /** A folder for the files of the test. */
  readonly dir: string
}

/**
 * Gives instances of the emulator bodies: node containers with the instances' own addresses on a network with the VPC's
 * range, each prepared by its user data as cloud-init would. A body is made when the instance's console is first read.
 */
export async function awsBodies(options: AwsBodiesOptions): Promise<AwsBodies> {
  const {engine, vpcCidr, dir} = options
  const label = `aws-${randomBytes(3).toString('hex')}`
  const context = contextIn(dir, label)
  await engine.createNetwork({
    name: networkName(label),
    labels: {[CLUSTER_LABEL]: label},
    subnet: vpcCidr,
    dynamicRange: vpcCidr,
  })
  const nodeTools: NodeTools = {
    engine,
    spec: specOf(label, {}),
    machine: await readLocalMachine(),
    // Nobody has the other half: who gets in is the user data's to say.
    publicKey: await ensureSshKey(join(dir, 'key-of-nobody')),
    image: await ensureNodeImage({
      ...localOptions(),
      engine,
      os: 'debian-13',
      report: () => undefined,
      signal: context.signal,
    }),
    subnet: vpcCidr,
    context: {...context, signal: AbortSignal.timeout(1_500_000)},
  }
  const consoles = new Map<string, Promise<string>>()
  return {
    label,
    consoleOf: (instanceId) => {
      const known = consoles.get(instanceId)
      if (known !== undefined) return known
      const booting = bootBody(instanceId, options, nodeTools)
      consoles.set(instanceId, booting)
      return booting
    },
    read: (instanceId, script) => readOn(engine, containerName(label, instanceId), script),
    [Symbol.asyncDispose]: async () => {
      // With time of its own: that of the context may be up after a long test.
      await localProviderHere().destroy(label, contextIn(dir, label))
    },
  }
}

async function bootBody(id: string, {emulator}: AwsBodiesOptions, tools: NodeTools): Promise<string> {
  const {address, userData} = await instanceOf(id, emulator)
  const {engine, spec} = tools
  const node = {
    name: id,
    role: 'worker' as const,
    pool: undefined,
    labels: {},
    taints: [],
    host: undefined,
    path: [],
  }
  await createNode(
    tools,
    {node, action: 'create', reason: 'an instance runs', container: undefined, leftoverVolumes: []},
    {address, publishedPorts: {}},
  )
  const keys = await waitForNode(tools, id, address)
  const container = containerName(spec.name, id)
  await applyUserData(engine, container, userData)
  for (const {name, target} of await balancersOf(emulator))
    await readOn(engine, container, `echo '${target} ${name}' >> /etc/hosts`)
  return [
    '[   12.345678] cloud-init[412]: Generating public/private ed25519 key pair.',
    '-----BEGIN SSH HOST KEY KEYS-----',
    ...keys.map((key) => `${key} root@${id}`),
    '-----END SSH HOST KEY KEYS-----',
    '',
  ].join('\r\n')
}

const userDataSchema = z.looseObject({
  users: z.array(
    z.looseObject({
      name: z.string().regex(/^[a-z]+$/),
      shell: z.string(),
      sudo: z.string(),
      ssh_authorized_keys: z.array(z.string()).min(1),
    }),
  ),
  disable_root: z.literal(true),
  ssh_pwauth: z.literal(false),
  ssh_genkeytypes: z.array(z.string()),
  ssh: z.looseObject({emit_keys_to_console: z.literal(true)}),
})

/** The part of cloud-init that a cluster's user data asks for; anything else in it fails the test. */
async function applyUserData(engine: ContainerEngine, container: string, text: string): Promise<void> {
  if (!text.startsWith('#cloud-config\n')) throw new Error(`no cloud-config: ${text.slice(0, 80)}`)
  const {users} = userDataSchema.parse(parse(text))
  for (const {name, shell, sudo, ssh_authorized_keys: keys} of users) {
    const put = (path: string, content: string, mode: number) =>
      engine.putFile(container, {path, content, mode})
    await put('/root/key', `${keys.join('\n')}\n`, 0o600)
    await put(`/etc/sudoers.d/90-cloud-init-users`, `${name} ${sudo}\n`, 0o440)
    await readOn(
      engine,
      container,
      `useradd --create-home --shell ${shell} ${name}
      install -d -m 700 -o ${name} -g ${name} /home/${name}/.ssh
      install -m 600 -o ${name} -g ${name} /root/key /home/${name}/.ssh/authorized_keys
      rm -rf /root/key /root/.ssh`,
    )
  }
}

async function instanceOf(id: string, {environment}: Emulator): Promise<{address: string; userData: string}> {
  const client = new EC2Client(clientOptions(environment))
  try {
    const {Reservations = []} = await client.send(new DescribeInstancesCommand({InstanceIds: [id]}))
    const address = Reservations[0]?.Instances?.[0]?.PrivateIpAddress
    const attribute = await client.send(
      new DescribeInstanceAttributeCommand({InstanceId: id, Attribute: 'userData'}),
    )
    if (address === undefined) throw new Error(`instance ${id} has no address`)
    return {address, userData: Buffer.from(attribute.UserData?.Value ?? '', 'base64').toString('utf8')}
  } finally {
    client.destroy()
  }
}

/** Names of the load balancers, each with the address of its first target, as no DNS server tells them here. */
async function balancersOf({environment}: Emulator): Promise<readonly {name: string; target: string}[]> {
  const balancing = new ElasticLoadBalancingV2Client(clientOptions(environment))
  const ec2 = new EC2Client(clientOptions(environment))
  try {
    const {LoadBalancers = []} = await balancing.send(new DescribeLoadBalancersCommand({}))
    const found: {name: string; target: string}[] = []
    for (const {LoadBalancerArn, DNSName = ''} of LoadBalancers) {
      const {TargetGroups = []} = await balancing.send(new DescribeTargetGroupsCommand({LoadBalancerArn}))
      for (const {TargetGroupArn} of TargetGroups) {
        const health = await balancing.send(new DescribeTargetHealthCommand({TargetGroupArn}))
        const id = health.TargetHealthDescriptions?.[0]?.Target?.Id
        if (id === undefined) continue
        const {Reservations = []} = await ec2.send(new DescribeInstancesCommand({InstanceIds: [id]}))
        const target = Reservations[0]?.Instances?.[0]?.PrivateIpAddress
        if (target !== undefined) found.push({name: DNSName, target})
      }
    }
    return found
  } finally {
    balancing.destroy()
    ec2.destroy()
  }
}

function clientOptions(environment: Readonly<Record<string, string>>) {
  const {AWS_ENDPOINT_URL: endpoint = '', AWS_REGION: region = ''} = environment
  return {endpoint, region, credentials: {accessKeyId: 'testing', secretAccessKey: 'testing'}}
}

async function readOn(engine: ContainerEngine, container: string, script: string): Promise<string> {
  const argv = ['bash', '-euo', 'pipefail', '-c', script] as const
  const {exitCode, stdout, stderr} = await engine.exec(container, [...argv], AbortSignal.timeout(120_000))
  if (exitCode !== 0) throw new Error(`${container}: ${script} exited with ${exitCode}: ${stderr}`)
  return stdout
}
