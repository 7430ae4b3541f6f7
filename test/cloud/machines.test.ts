import {DescribeInstancesCommand} from '@aws-sdk/client-ec2'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {withAws, REGION, type AwsHere} from '../support/aws-cloud.ts'
import {freeVpc} from '../support/aws-network.ts'
import {resultOf, stepLines, textOf, writeClusterFile} from '../support/byon-cluster.ts'
import type {CliResult} from '../support/cli.ts'
import {needEngine} from '../support/with-engine.ts'

const NAME = 'bodies'

const statuses = (run: CliResult): Readonly<Record<string, string>> =>
  Object.fromEntries((resultOf(run).nodes ?? []).map(({name, status}) => [name, status]))

test('an account becomes a cluster that works, and then nothing of it is left', async (context) => {
  const engine = await needEngine(context)
  const vpcCidr = await freeVpc(engine)
  await withAws(context, {bodies: {engine, vpcCidr}}, async (aws) => {
    const config = await writeClusterFile(aws.dir, NAME, {
      provider: {
        kind: 'aws',
        aws: {region: REGION, bastion: 'none', api: 'internal', network: {cidr: vpcCidr}},
      },
      controlPlane: {count: 1, size: 't3.medium'},
      workers: [{count: 2, size: 't3.large', labels: {'example.com/rack': 'a'}}],
    })
    const kubeadm = (verb: string, ...more: readonly string[]) =>
      aws.clouder(['kubeadm', verb, ...more, '--json'])

    const made = await kubeadm('init', '--config', config, '--yes')
    expect(statuses(made), textOf(made)).toEqual({'cp-1': 'Ready', 'worker-1': 'Ready', 'worker-2': 'Ready'})
    expect(aws.said.join('\n'), 'every host key is known before the first connection').not.toContain(
      'trusting the host key',
    )

    const plan = await kubeadm('plan', '--config', config, '--detailed-exitcode')
    expect(plan.exitCode, textOf(plan)).toBe(0)
    expect(stepLines(plan)).toEqual([])
    await nodesAreTheCloudsOwn(aws)

    const tested = await kubeadm('smoke-test', NAME)
    expect(
      (resultOf(tested).checks ?? []).filter(({passed}) => !passed),
      textOf(tested),
    ).toEqual([])

    const gone = await kubeadm('terminate', NAME, '--yes')
    expect(gone.exitCode, textOf(gone)).toBe(0)
    expect(await aws.owned(NAME)).toEqual([])
    expect(aws.said.join('\n'), 'no private key is told').not.toContain('PRIVATE KEY')
  })
})

/** Provider id, zone and size are on the nodes as the cloud provider of Kubernetes would write them. */
async function nodesAreTheCloudsOwn({ec2, bodies}: AwsHere): Promise<void> {
  const Filters = [{Name: 'tag:Name', Values: [`${NAME}-cp-1`]}]
  const {Reservations = []} = await ec2.send(new DescribeInstancesCommand({Filters}))
  const id = Reservations[0]?.Instances?.[0]?.InstanceId ?? ''
  const nodes = await bodies?.read(id, 'kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes -o json')
  const found = nodesSchema.parse(JSON.parse(nodes ?? ''))
  expect(found.items).toHaveLength(3)
  for (const {metadata, spec} of found.items) {
    expect(spec.providerID).toMatch(/^aws:\/\/\/eu-central-1a\/i-[0-9a-f]+$/)
    expect(metadata.labels).toMatchObject({
      'topology.kubernetes.io/zone': 'eu-central-1a',
      'topology.kubernetes.io/region': REGION,
      'node.kubernetes.io/instance-type': metadata.name === 'cp-1' ? 't3.medium' : 't3.large',
    })
  }
}

const nodesSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({name: z.string(), labels: z.record(z.string(), z.string())}),
      spec: z.looseObject({providerID: z.string()}),
    }),
  ),
})
