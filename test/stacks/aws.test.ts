import {join} from 'node:path'
import {expect, test} from 'vitest'
import {specFromDocument} from '../../src/spec/load.ts'
import {synthesiseAws} from '../../stacks/aws.ts'
import {architectureOf} from '../../stacks/aws/images.ts'
import {subnetRanges} from '../../stacks/aws/network.ts'
import {readTerraformSchema, schemaFile, schemaProblems} from '../support/terraform-schema.ts'
import {expectGoldenFile} from '../templates/golden.ts'
import {ADMINISTRATORS, at, type AwsDocument, awsInput, awsStack, openings} from './aws-input.ts'

const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555'
const EXISTING = {
  vpcId: 'vpc-0a',
  privateSubnetIds: ['subnet-0a', 'subnet-0b', 'subnet-0c'],
  publicSubnetIds: ['subnet-1a', 'subnet-1b', 'subnet-1c'],
}
const THREE_ZONES = {zones: ['a', 'b', 'c']}

const OPTIONS: Readonly<Record<string, AwsDocument>> = {
  single: {},
  ha: {
    aws: {...THREE_ZONES, account: '123456789012', kmsKeyId: KEY, tags: {team: 'platform'}},
    spec: {
      controlPlane: {count: 3, size: 'm7g.large'},
      workers: [
        {name: 'worker', count: 4},
        {name: 'gpu', size: 'g5.xlarge', diskGiB: 200, spot: true, labels: {'example.org/gpu': 'yes'}},
      ],
      state: {backend: 's3', s3: {bucket: 'states', region: 'eu-west-1'}},
    },
  },
  public: {aws: {network: {mode: 'public'}, elasticIps: true, image: 'ubuntu-24.04'}},
  'session-manager': {aws: {bastion: 'ssm', image: 'ubuntu-24.04', api: 'internal'}},
  inside: {
    aws: {bastion: 'none', api: 'internal', deletionPolicy: 'retain'},
    spec: {access: {adminCidrs: []}, controlPlane: {schedulable: true}, network: {cni: 'none'}},
  },
  existing: {aws: {...THREE_ZONES, network: {existing: EXISTING}, sharedFiles: true}},
}

for (const [name, document] of Object.entries(OPTIONS)) {
  test(`the stack of the option ${name} is the one that was read and kept`, () => {
    const text = `${JSON.stringify(synthesiseAws(awsInput(document)), null, 2)}\n`
    expectGoldenFile(join(import.meta.dirname, 'golden', `aws-${name}.json`), text)
  })

  test(`the provider knows every argument of the option ${name}`, (context) => {
    const schema = readTerraformSchema('aws')
    if (schema === undefined) return context.skip(`there is no ${schemaFile('aws')}`)
    expect(schemaProblems(awsStack(document).json, schema)).toEqual([])
  })
}

test('the same input gives the same text, however its parts are ordered in memory', () => {
  const text = JSON.stringify(synthesiseAws(awsInput(OPTIONS['ha'] ?? {})))
  expect(JSON.stringify(synthesiseAws(awsInput(OPTIONS['ha'] ?? {})))).toBe(text)
})

test('one zone has a subnet for nodes behind address translation and a small one before it', () => {
  const {all, one} = awsStack({})
  expect(at(one('aws_subnet', 'private-a'), 'cidr_block')).toBe('10.0.64.0/18')
  expect(at(one('aws_subnet', 'public-a'), 'cidr_block')).toBe('10.0.0.0/20')
  expect(Object.keys(all('aws_nat_gateway'))).toEqual(['nat-a'])
  expect(at(one('aws_route', 'private-a'), 'nat_gateway_id')).toBe('${aws_nat_gateway.nat-a.id}')
  expect(at(one('aws_subnet', 'private-a'), 'map_public_ip_on_launch')).toBe(false)
  expect(one('aws_instance', 'worker-1')).not.toHaveProperty('associate_public_ip_address')
})

test('a second and third zone leave the subnets of the first where they are', () => {
  expect(subnetRanges('10.0.0.0/16')).toEqual({
    nodes: ['10.0.64.0/18', '10.0.128.0/18', '10.0.192.0/18'],
    edge: ['10.0.0.0/20', '10.0.16.0/20', '10.0.32.0/20'],
  })
  expect(subnetRanges('10.0.0.0/22').edge[2]).toBe('10.0.0.128/26')
  expect(() => subnetRanges('10.0.0.0/25')).toThrow('10.0.0.0/25 is no IPv4 network')
})

test('nodes of each role and pool are spread over three zones, with a NAT gateway in each', () => {
  const {all, one} = awsStack(OPTIONS['ha'] ?? {})
  const zoneOf = (node: string): unknown => at(one('aws_instance', node), 'subnet_id')
  expect(['cp-1', 'cp-2', 'cp-3', 'worker-1', 'worker-4', 'gpu-1'].map(zoneOf)).toEqual(
    ['a', 'b', 'c', 'a', 'a', 'a'].map((zone) => `\${aws_subnet.private-${zone}.id}`),
  )
  expect(Object.keys(all('aws_nat_gateway'))).toEqual(['nat-a', 'nat-b', 'nat-c'])
})

test('in public mode nodes have addresses of their own and nothing is translated', () => {
  const {all, one, output} = awsStack({aws: {network: {mode: 'public'}}})
  expect(all('aws_nat_gateway')).toEqual({})
  expect(all('aws_eip')).toEqual({})
  expect(Object.keys(all('aws_subnet'))).toEqual(['public-a'])
  expect(at(one('aws_instance', 'cp-1'), 'associate_public_ip_address')).toBe(true)
  expect(at(output('machines'), 0, 'address')).toBe('${aws_instance.cp-1.public_ip}')
  expect(at(output('machines'), 0, 'privateAddress')).toBe('${aws_instance.cp-1.private_ip}')
})

test('addresses that stay are made only where they are asked for', () => {
  const {all, output} = awsStack(OPTIONS['public'] ?? {})
  expect(Object.keys(all('aws_eip'))).toEqual(['cp-1', 'worker-1', 'worker-2'])
  expect(at(output('machines'), 1, 'address')).toBe('${aws_eip.worker-1.public_ip}')
})

test('the ports of a private cluster are those of kubeadm, and administrators reach the jump host and the API', () => {
  const nodes = ['control-plane', 'worker']
  const between = (what: string) =>
    nodes.flatMap((to) => nodes.map((from) => `${what} from ${from} to ${to}`))
  expect([...openings(awsStack({}))].sort()).toEqual(
    [
      ...between('tcp 10250'),
      ...between('udp 8472'),
      ...between('tcp 9808'),
      'tcp 2379-2380 from control-plane to control-plane',
      'tcp 6443 from control-plane to control-plane',
      'tcp 6443 from worker to control-plane',
      'tcp 6443 from api-balancer to control-plane',
      'tcp 6443 from control-plane to api-balancer',
      'tcp 6443 from worker to api-balancer',
      'tcp 6443 from bastion to api-balancer',
      `tcp 6443 from ${ADMINISTRATORS} to api-balancer`,
      `tcp 22 from ${ADMINISTRATORS} to bastion`,
      'tcp 22 from bastion to control-plane',
      'tcp 22 from bastion to worker',
      'tcp 30000-32767 from service-balancer to worker',
    ].sort(),
  )
})

test('Session Manager needs no open port, no jump host, but an agent that may hold sessions', () => {
  const stack = awsStack({aws: {bastion: 'ssm', image: 'ubuntu-22.04'}})
  expect(openings(stack).filter((opening) => opening.startsWith('tcp 22 '))).toEqual([])
  expect(stack.all('aws_instance')).not.toHaveProperty('bastion')
  expect(stack.output('bastion')).toBeUndefined()
  expect(at(stack.one('aws_iam_policy', 'session-manager'), 'policy')).toContain(
    'ssmmessages:OpenDataChannel',
  )
  expect(stack.all('aws_iam_role_policy_attachment')).toHaveProperty('worker_session-manager')
})

test('nodes with public addresses are reached at these, and only by administrators', () => {
  for (const bastion of ['host', 'ssm', 'none']) {
    const stack = awsStack({aws: {bastion, network: {mode: 'public'}}})
    expect(openings(stack).filter((opening) => opening.startsWith('tcp 22 '))).toEqual([
      `tcp 22 from ${ADMINISTRATORS} to control-plane`,
      `tcp 22 from ${ADMINISTRATORS} to worker`,
    ])
    expect(stack.output('bastion')).toBeUndefined()
    expect(stack.all('aws_iam_policy')).not.toHaveProperty('session-manager')
  }
})

test('a cluster that nobody reaches from outside is open to its own network, and only for SSH and the API', () => {
  const fromInside = openings(awsStack(OPTIONS['inside'] ?? {})).filter((opening) =>
    opening.includes('10.0.0.0/16'),
  )
  expect(fromInside).toEqual([
    'tcp 6443 from 10.0.0.0/16 to api-balancer',
    'tcp 22 from 10.0.0.0/16 to control-plane',
    'tcp 22 from 10.0.0.0/16 to worker',
  ])
})

test('the pod network is opened for flannel alone, and node ports where ordinary pods may run', () => {
  const found = openings(awsStack(OPTIONS['inside'] ?? {}))
  expect(found.filter((opening) => opening.startsWith('udp'))).toEqual([])
  expect(found).toContain('tcp 30000-32767 from service-balancer to control-plane')
})

test('the whole world comes in only where the spec allows it, and only to SSH and the API', () => {
  const document = {spec: {access: {adminCidrs: ['0.0.0.0/0', '::/0'], allowWorld: true}}}
  const found = openings(awsStack(document)).filter((opening) => /from (0\.0\.0\.0|::)\/0/.test(opening))
  expect(found).toEqual([
    'tcp 6443 from 0.0.0.0/0 to api-balancer',
    'tcp 6443 from ::/0 to api-balancer',
    'tcp 22 from 0.0.0.0/0 to bastion',
    'tcp 22 from ::/0 to bastion',
  ])
})

test('nodes use a balancer inside the network, administrators one with a public address', () => {
  const {all, one, output} = awsStack({})
  expect(at(one('aws_lb', 'api'), 'internal')).toBe(true)
  expect(at(one('aws_lb', 'api-public'), 'internal')).toBe(false)
  expect(output('endpoint')).toEqual({
    internal: '${aws_lb.api.dns_name}:6443',
    external: '${aws_lb.api-public.dns_name}:6443',
    certSans: ['${aws_lb.api.dns_name}', '${aws_lb.api-public.dns_name}'],
  })
  const targets = Object.values(all('aws_lb_target_group')).map((group) => group.preserve_client_ip)
  expect(targets).toEqual(['false', 'false'])
})

test('an internal API has no public balancer', () => {
  const {all, output} = awsStack({aws: {api: 'internal'}})
  expect(Object.keys(all('aws_lb'))).toEqual(['api'])
  expect(at(output('endpoint'), 'external')).toBe('${aws_lb.api.dns_name}:6443')
})

test('a name of the spec that stands before the balancers is the endpoint', () => {
  const {output} = awsStack({spec: {api: {endpoint: 'api.example.org'}}})
  expect(output('endpoint')).toEqual({
    internal: 'api.example.org:6443',
    external: 'api.example.org:6443',
    certSans: ['api.example.org', '${aws_lb.api.dns_name}', '${aws_lb.api-public.dns_name}'],
  })
})

test('every disk is encrypted and gp3, and metadata is had by token, one hop from the node', () => {
  const {all} = awsStack(OPTIONS['ha'] ?? {})
  const machines = Object.values(all('aws_instance'))
  expect(machines).toHaveLength(9)
  for (const machine of machines) {
    expect(machine.root_block_device).toMatchObject({encrypted: true, kms_key_id: KEY, volume_type: 'gp3'})
    expect(machine.metadata_options).toEqual({
      http_endpoint: 'enabled',
      http_tokens: 'required',
      http_put_response_hop_limit: 1,
    })
  }
})

test('neither a newer image, nor another first boot, zone or key, nor a stop replaces a machine that is there', () => {
  const {all, one} = awsStack({aws: {sharedFiles: true}})
  for (const machine of Object.values(all('aws_instance'))) {
    expect(machine.lifecycle).toEqual({
      ignore_changes: [
        'ami',
        'user_data',
        'subnet_id',
        'associate_public_ip_address',
        'root_block_device[0].kms_key_id',
      ],
    })
  }
  expect(at(one('aws_efs_file_system', 'shared-files'), 'lifecycle', 'ignore_changes')).toEqual([
    'kms_key_id',
  ])
})

test('spot machines are ordered as such and marked for the handler of interruptions', () => {
  const {one} = awsStack(OPTIONS['ha'] ?? {})
  const spot = one('aws_instance', 'gpu-1')
  expect(at(spot, 'instance_market_options', 'market_type')).toBe('spot')
  expect(at(spot, 'tags', 'aws-node-termination-handler/managed')).toBe('true')
  expect(at(spot, 'root_block_device', 'volume_size')).toBe(200)
  expect(one('aws_instance', 'worker-1')).not.toHaveProperty('instance_market_options')
})

test('images are looked up once for each architecture, from whom the distribution publishes by', () => {
  const {all, one} = awsStack(OPTIONS['ha'] ?? {})
  const found = all('aws_ami', 'data')
  expect(Object.keys(found).sort()).toEqual(['arm64', 'x86_64'])
  expect(at(found, 'arm64', 'owners')).toEqual(['136693071363'])
  expect(at(found, 'arm64', 'filter', 0)).toEqual({name: 'name', values: ['debian-13-arm64-*']})
  expect(at(one('aws_instance', 'cp-1'), 'ami')).toBe('${data.aws_ami.arm64.id}')
  expect(at(one('aws_instance', 'worker-1'), 'ami')).toBe('${data.aws_ami.x86_64.id}')
})

test('an image that was kept, or that the spec names, is not looked up', () => {
  const imageIds = {'control-plane': 'ami-0000000c', worker: 'ami-0000000d', bastion: 'ami-0000000e'}
  const kept = awsStack({imageIds})
  expect(kept.all('aws_ami', 'data')).toEqual({})
  expect(['cp-1', 'worker-2', 'bastion'].map((name) => at(kept.one('aws_instance', name), 'ami'))).toEqual(
    Object.values(imageIds),
  )
  const cutShort = awsStack({imageIds: {'data.aws_ami.x86_64': 'ami-0000000f', worker: 'ami-0000000d'}})
  expect(cutShort.all('aws_ami', 'data')).toEqual({})
  expect(['cp-1', 'worker-2'].map((name) => at(cutShort.one('aws_instance', name), 'ami'))).toEqual([
    'ami-0000000f',
    'ami-0000000d',
  ])
  const named = awsStack({aws: {imageId: 'ami-00000001'}, imageIds})
  expect(at(named.one('aws_instance', 'cp-1'), 'ami')).toBe('ami-00000001')
})

test.each([
  ['t4g.nano', 'arm64'],
  ['c7gn.xlarge', 'arm64'],
  ['a1.large', 'arm64'],
  ['g5g.xlarge', 'arm64'],
  ['is4gen.large', 'arm64'],
  ['t3.large', 'x86_64'],
  ['g4dn.xlarge', 'x86_64'],
  ['g6.xlarge', 'x86_64'],
  ['u-6tb1.metal', 'x86_64'],
])('%s is a machine of %s', (size, architecture) => {
  expect(architectureOf(size)).toBe(architecture)
})

test('a node says who made it and where it stands, in the words of the cloud provider', () => {
  const {output} = awsStack(OPTIONS['ha'] ?? {})
  expect(at(output('machines'), 7)).toEqual({
    name: 'gpu-1',
    role: 'worker',
    pool: 'gpu',
    address: '${aws_instance.gpu-1.private_ip}',
    privateAddress: '${aws_instance.gpu-1.private_ip}',
    ssh: {user: 'clouder', port: 22},
    labels: {
      'example.org/gpu': 'yes',
      'topology.kubernetes.io/region': 'eu-central-1',
      'topology.kubernetes.io/zone': '${aws_instance.gpu-1.availability_zone}',
      'node.kubernetes.io/instance-type': 'g5.xlarge',
    },
    taints: [],
    providerId: 'aws:///${aws_instance.gpu-1.availability_zone}/${aws_instance.gpu-1.id}',
    cloudId: '${aws_instance.gpu-1.id}',
    imageId: '${aws_instance.gpu-1.ami}',
  })
})

test('in a VPC of the user only what the cluster needs is made', () => {
  const {all, one, output} = awsStack(OPTIONS['existing'] ?? {})
  for (const type of ['vpc', 'subnet', 'route_table', 'nat_gateway', 'internet_gateway', 'vpc_endpoint']) {
    expect(all(`aws_${type}`)).toEqual({})
  }
  expect(at(one('aws_instance', 'worker-2'), 'subnet_id')).toBe('subnet-0b')
  expect(at(one('aws_instance', 'bastion'), 'subnet_id')).toBe('subnet-1a')
  // Whatever the subnet would give it by itself.
  expect(at(one('aws_instance', 'worker-2'), 'associate_public_ip_address')).toBe(false)
  expect(at(one('aws_lb', 'api'), 'subnets')).toEqual(EXISTING.privateSubnetIds)
  expect(at(one('aws_lb', 'api-public'), 'subnets')).toEqual(EXISTING.publicSubnetIds)
  expect(at(output('addons'), 'nodeSubnetIds')).toBe('subnet-0a,subnet-0b,subnet-0c')
})

test('shared files are encrypted and reached in every zone by nodes alone', () => {
  const stack = awsStack({aws: {...THREE_ZONES, sharedFiles: true}})
  expect(at(stack.one('aws_efs_file_system', 'shared-files'), 'encrypted')).toBe(true)
  expect(Object.keys(stack.all('aws_efs_mount_target'))).toHaveLength(3)
  expect(openings(stack).filter((opening) => opening.endsWith('to shared-files'))).toEqual([
    'tcp 2049 from control-plane to shared-files',
    'tcp 2049 from worker to shared-files',
  ])
  expect(at(stack.output('addons'), 'fileSystemId')).toBe('${aws_efs_file_system.shared-files.id}')
  expect(awsStack({}).all('aws_efs_file_system')).toEqual({})
})

test('the bucket is private, encrypted, versioned, emptied by age, and spoken to by TLS alone', () => {
  const {one} = awsStack({aws: {checkpointRetentionDays: 7}})
  expect(one('aws_s3_bucket_public_access_block', 'checkpoints')).toMatchObject({
    block_public_acls: true,
    block_public_policy: true,
    ignore_public_acls: true,
    restrict_public_buckets: true,
  })
  expect(at(one('aws_s3_bucket_lifecycle_configuration', 'checkpoints'), 'rule', 0)).toMatchObject({
    filter: [{prefix: 'checkpoints/'}],
    expiration: [{days: 7}],
  })
  const policy = JSON.parse(String(one('aws_s3_bucket_policy', 'checkpoints').policy)) as unknown
  expect(at(policy, 'Statement', 0)).toMatchObject({
    Effect: 'Deny',
    Condition: {Bool: {'aws:SecureTransport': 'false'}},
  })
})

test('what the bucket holds outlives the cluster where the spec says so', () => {
  const forceDestroy = (document: AwsDocument): unknown =>
    at(awsStack(document).one('aws_s3_bucket', 'checkpoints'), 'force_destroy')
  expect(forceDestroy({})).toBe(true)
  expect(forceDestroy({aws: {deletionPolicy: 'retain'}})).toBe(false)
  const guarded = (deletionPolicy: string): readonly unknown[] => {
    const stack = awsStack({aws: {deletionPolicy, sharedFiles: true}})
    const holders = [
      stack.one('aws_s3_bucket', 'checkpoints'),
      stack.one('aws_efs_file_system', 'shared-files'),
    ]
    return holders.map((each) => at(each, 'lifecycle', 'prevent_destroy'))
  }
  expect(guarded('retain')).toEqual([true, true])
  expect(guarded('delete')).toEqual([undefined, undefined])
})

test('only control planes may make volumes and load balancers', () => {
  const holders = Object.keys(awsStack({}).all('aws_iam_role_policy_attachment')).sort()
  expect(holders).toEqual([
    'control-plane_backups',
    'control-plane_checkpoint-deletion',
    'control-plane_checkpoints',
    'control-plane_cloud-provider',
    'control-plane_load-balancers',
    'control-plane_volumes',
    'worker_checkpoints',
  ])
})

test('no worker may delete an object, and no node a backup', () => {
  const {all} = awsStack({})
  const policies = all('aws_iam_policy')
  const deletes = Object.keys(policies).filter((name) => String(policies[name]?.policy).includes('s3:Delete'))
  expect(deletes).toEqual(['checkpoint-deletion'])
  expect(String(policies['checkpoint-deletion']?.policy)).not.toContain('backups/')
})

test('parts of uploads that never ended are removed, wherever in the bucket they lie', () => {
  const {rule} = awsStack({}).one('aws_s3_bucket_lifecycle_configuration', 'checkpoints')
  expect(rule).toContainEqual({
    id: 'unfinished-uploads',
    status: 'Enabled',
    filter: [{prefix: ''}],
    abort_incomplete_multipart_upload: [{days_after_initiation: 1}],
  })
})

test('machines and load balancers are protected from deletion only where it is asked for', () => {
  const protectedBy = (document: AwsDocument) => {
    const {all} = awsStack(document)
    return [
      ...Object.values(all('aws_instance')).map((machine) => machine.disable_api_termination),
      ...Object.values(all('aws_lb')).map((balancer) => balancer.enable_deletion_protection),
    ]
  }
  expect(new Set(protectedBy({}))).toEqual(new Set([undefined]))
  expect(new Set(protectedBy({aws: {deletionProtection: true}}))).toEqual(new Set([true]))
})

test('a key of the user encrypts disks, bucket and files, and is lent to no more than those', () => {
  const {all, one} = awsStack({aws: {kmsKeyId: KEY, sharedFiles: true}})
  expect(at(one('aws_efs_file_system', 'shared-files'), 'kms_key_id')).toBe(KEY)
  const encryption = one('aws_s3_bucket_server_side_encryption_configuration', 'checkpoints')
  expect(at(encryption, 'rule', 0, 'apply_server_side_encryption_by_default')).toEqual({
    sse_algorithm: 'aws:kms',
    kms_master_key_id: KEY,
  })
  const withKey = Object.entries(all('aws_iam_policy')).flatMap(([name, {policy}]) =>
    String(policy).includes('kms:') ? [name] : [],
  )
  expect(withKey.sort()).toEqual(['checkpoints', 'volumes'])
})

test('names stay within what AWS takes, and differ where clusters do', () => {
  const long = (end: string) => awsStack({name: `a-very-long-name-of-a-cluster-for-tests-${end}`})
  const [one, other] = [long('1'), long('2')]
  const nameOf = (stack: typeof one, type: string, name: string): string =>
    String(at(stack.one(type, name), 'name'))
  for (const [type, name, limit] of [
    ['aws_lb', 'api-public', 32],
    ['aws_lb_target_group', 'api', 32],
    ['aws_iam_role', 'control-plane', 64],
  ] as const) {
    expect(nameOf(one, type, name).length).toBeLessThanOrEqual(limit)
    expect(nameOf(one, type, name)).toMatch(/^[a-z0-9-]+[a-z0-9]$/)
    expect(nameOf(one, type, name)).not.toBe(nameOf(other, type, name))
  }
  expect(String(one.one('aws_s3_bucket', 'checkpoints').bucket_prefix).length).toBeLessThanOrEqual(37)
})

test('what groups say of themselves is in characters that EC2 takes', () => {
  const groups = Object.values(awsStack({aws: {sharedFiles: true}}).all('aws_security_group'))
  expect(groups).toHaveLength(6)
  for (const {description} of groups) {
    expect(description).toMatch(/^[a-zA-Z0-9. _:/()#,@[\]+=&;{}!$*-]{1,255}$/)
  }
})

test('text of the user is no expression of Terraform', () => {
  const input = awsInput({aws: {tags: {'${a}': '%{if true}x%{endif}'}}})
  const {json} = awsStack({aws: {tags: {'${a}': '%{if true}x%{endif}'}}})
  expect(at(json, 'resource', 'aws_vpc', 'cluster', 'tags', '$${a}')).toBe('%%{if true}x%%{endif}')
  const withInit = synthesiseAws({...input, cloudInit: 'echo ${HOME}'})
  expect(at(withInit, 'resource', 'aws_instance', 'cp-1', 'user_data')).toBe('echo $${HOME}')
})

test('a pool whose name begins with a digit has a name that Terraform takes', () => {
  const {all, output} = awsStack({spec: {workers: [{name: '3d', count: 1}]}})
  expect(all('aws_instance')).toHaveProperty('_3d-1')
  expect(at(output('machines'), 1, 'cloudId')).toBe('${aws_instance._3d-1.id}')
})

test('China and GovCloud have ARNs and publishers of their own', () => {
  const {all} = awsStack({aws: {region: 'cn-north-1'}})
  expect(at(all('aws_iam_policy'), 'volumes', 'policy')).toContain('arn:aws-cn:ec2:cn-north-1:')
  expect(at(all('aws_iam_role'), 'worker', 'assume_role_policy')).toContain('ec2.amazonaws.com.cn')
  const gov = awsStack({aws: {region: 'us-gov-west-1', image: 'ubuntu-24.04'}})
  expect(at(gov.all('aws_iam_policy'), 'volumes', 'policy')).toContain('arn:aws-us-gov:ec2:')
  expect(at(gov.all('aws_ami', 'data'), 'x86_64', 'owners')).toEqual(['513442679011'])
})

test('credentials of another account are refused by the provider itself', () => {
  const {json} = awsStack({aws: {account: '123456789012', profile: 'prod'}})
  expect(at(json, 'provider', 'aws')).toEqual([
    {region: 'eu-central-1', allowed_account_ids: ['123456789012']},
  ])
})

test('the version of the provider is pinned to what the stack was written for', () => {
  expect(at(awsStack({}).json, 'terraform', 'required_providers')).toEqual({
    aws: {source: 'hashicorp/aws', version: '~> 6.0'},
  })
})

test('a spec without a region is refused', () => {
  const {spec, ...rest} = awsInput({})
  const document = {
    apiVersion: 'clouder.dev/v1alpha1',
    kind: 'Cluster',
    metadata: {name: spec.name},
    spec: {provider: {kind: 'aws'}, access: {adminCidrs: [ADMINISTRATORS]}},
  }
  expect(() => synthesiseAws({...rest, spec: specFromDocument(document)})).toThrow('region is not filled in')
})
