import fc from 'fast-check'
import {expect, test} from 'vitest'
import {isTaggable, readTerraformSchema, schemaFile, schemaProblems} from '../support/terraform-schema.ts'
import {at, type AwsDocument, type AwsStack, awsInput, openings, stackOf} from './aws-input.ts'

const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555'

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/)
const tags = fc.dictionary(
  fc.oneof(fc.constantFrom('clouder.dev/cluster', 'Name', '${path.cwd}', '%{if}'), fc.string({minLength: 1})),
  fc.string(),
  {maxKeys: 3},
)
const cidr = fc.oneof(
  fc.ipV4().map((address) => `${address}/32`),
  fc.constantFrom('10.1.0.0/16', '203.0.0.0/8', '2001:db8::/32', '::1/128'),
)
const sometimes = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, {nil: undefined})
const pool = fc.record({
  name: label,
  count: fc.nat({max: 3}),
  size: sometimes(fc.constantFrom('t3.large', 'm7g.large', 'g5.xlarge')),
  diskGiB: sometimes(fc.integer({min: 20, max: 16_384})),
  spot: fc.boolean(),
})
const state = fc.constantFrom(
  {backend: 'local'},
  {backend: 's3', s3: {bucket: 'b', region: 'eu-west-1', kmsKeyId: KEY}},
  {backend: 'azurerm', azurerm: {resourceGroup: 'g', storageAccount: 'a', container: 'c'}},
  {backend: 'remote', remote: {organization: 'o'}},
)

/** Subnets of a VPC that exists, one for each zone. */
const subnets = (zones: readonly string[], kind: string): string[] =>
  zones.map((zone) => `subnet-${kind}${zone}`)

const document: fc.Arbitrary<AwsDocument> = fc
  .record({
    name: label,
    region: fc.constantFrom('eu-central-1', 'us-gov-west-1', 'cn-north-1'),
    zones: fc.constantFrom(['a'], ['a', 'b', 'c'], ['f', 'b', 'd']),
    mode: fc.constantFrom('private', 'public'),
    isBrought: fc.boolean(),
    prefix: fc.integer({min: 16, max: 22}),
    more: fc.record({
      bastion: fc.constantFrom('host', 'ssm', 'none'),
      api: fc.constantFrom('public', 'internal'),
      image: fc.constantFrom('debian-13', 'debian-12', 'ubuntu-24.04', 'ubuntu-22.04'),
      imageId: sometimes(fc.constant('ami-0123456789abcdef0')),
      sharedFiles: fc.boolean(),
      elasticIps: fc.boolean(),
      kmsKeyId: sometimes(fc.constant(KEY)),
      account: sometimes(fc.constant('123456789012')),
      deletionPolicy: fc.constantFrom('delete', 'retain'),
      checkpointRetentionDays: fc.integer({min: 1, max: 3650}),
      tags,
    }),
    spec: fc.record({
      controlPlane: fc.record({count: fc.constantFrom(1, 3, 5), schedulable: fc.boolean()}),
      workers: fc.uniqueArray(pool, {maxLength: 3, selector: ({name}) => name}),
      network: fc.record({cni: fc.constantFrom('flannel', 'none')}),
      state,
    }),
    isWorldAllowed: fc.boolean(),
    adminCidrs: fc.array(cidr, {minLength: 1, maxLength: 3}),
  })
  .map(({name, region, zones, mode, isBrought, prefix, more, spec, isWorldAllowed, adminCidrs}) => {
    const existing = {
      vpcId: 'vpc-1',
      privateSubnetIds: subnets(zones, 'private'),
      publicSubnetIds: subnets(zones, 'public'),
    }
    const network = {mode, cidr: `10.0.0.0/${prefix}`, ...(isBrought ? {existing} : {})}
    const world = isWorldAllowed ? ['0.0.0.0/0', '::/0'] : []
    return {
      name,
      // Images of Debian lack the agent of Session Manager.
      aws: withoutUndefined({
        ...{region, zones, network, ...more},
        ...(more.bastion === 'ssm' ? {image: 'ubuntu-24.04'} : {}),
      }),
      spec: {
        ...spec,
        workers: spec.workers.map(withoutUndefined),
        access: {adminCidrs: [...adminCidrs, ...world], allowWorld: isWorldAllowed},
      },
    }
  })
  .filter(({name, spec}) => !spec.workers.some((one) => one.name === 'cp' || one.name === name))

function withoutUndefined(record: object): Record<string, unknown> {
  const entries: readonly (readonly [string, unknown])[] = Object.entries(record)
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** What of an opening may face the world, and only where the spec allows it. */
const MAY_FACE_THE_WORLD =
  /^tcp (6443 from \S+ to api-balancer|22 from \S+ to (bastion|control-plane|worker))$/

function expectClosed(stack: AwsStack, isWorldAllowed: boolean): void {
  const open = openings(stack).filter((opening) => / from (0\.0\.0\.0|::)\/0 /.test(opening))
  expect(open.filter((opening) => !isWorldAllowed || !MAY_FACE_THE_WORLD.test(opening))).toEqual([])
  // Rules inside a group would be a second way to open it.
  for (const group of Object.values(stack.all('aws_security_group'))) {
    expect(group).not.toHaveProperty('ingress')
  }
}

function expectLeastPrivilege({all}: AwsStack): void {
  for (const [name, {policy}] of Object.entries(all('aws_iam_policy'))) {
    expect(String(policy).length, `${name} is longer than IAM takes`).toBeLessThanOrEqual(6144)
    const statements = at(JSON.parse(String(policy)), 'Statement')
    for (const statement of Array.isArray(statements) ? statements : [statements]) {
      const actions = [at(statement, 'Action')].flat().map(String)
      expect(actions.filter((action) => !/^[a-z0-9]+:[A-Z][A-Za-z]+$/.test(action))).toEqual([])
      if (at(statement, 'Resource') !== '*') continue
      const changes = actions.filter((action) => !/:(Describe|Get|List)/.test(action))
      expect(changes.filter((action) => !/^ssm(messages)?:/.test(action))).toEqual([])
    }
  }
  for (const {policy} of Object.values(all('aws_s3_bucket_policy'))) {
    expect(at(JSON.parse(String(policy)), 'Statement', 0, 'Effect')).toBe('Deny')
    expect(at(JSON.parse(String(policy)), 'Statement', 1)).toBeUndefined()
  }
}

test('no spec opens a port to the world without its flag, or gives a node more than it needs', () => {
  fc.assert(
    fc.property(document, (one) => {
      const input = awsInput(one)
      const stack = stackOf(input)
      expectClosed(stack, input.spec.access.allowWorld)
      expectLeastPrivilege(stack)
      const nodes = at(stack.output('machines'), 'length')
      const wanted = [input.spec.controlPlane, ...input.spec.workers].map(({count}) => count ?? 1)
      expect(nodes).toBe(wanted.reduce((sum, count) => sum + count, 0))
    }),
    {numRuns: 40},
  )
})

test('the provider takes the stack of any spec, and everything that can have tags says whose it is', (context) => {
  const schema = readTerraformSchema('aws')
  if (schema === undefined) return context.skip(`there is no ${schemaFile('aws')}`)
  fc.assert(
    fc.property(document, (one) => {
      const stack = stackOf(awsInput(one))
      expect(schemaProblems(stack.json, schema)).toEqual([])
      const ownership = {
        'clouder.dev/cluster': one.name,
        'clouder.dev/managed-by': 'clouder',
        [`kubernetes.io/cluster/${one.name ?? ''}`]: 'owned',
      }
      const taggable = stack.elements.filter(
        ({kind, type}) => kind === 'resource' && isTaggable(schema, type),
      )
      expect(taggable.length).toBeGreaterThan(20)
      for (const {type, name, body} of taggable) {
        expect(body.tags, `${type}.${name}`).toMatchObject(ownership)
        if (type === 'aws_instance') expect(at(body, 'root_block_device', 'tags')).toMatchObject(ownership)
      }
    }),
    {numRuns: 40},
  )
})
