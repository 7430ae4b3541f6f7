import {DescribeRegionsCommand, GetConsoleOutputCommand} from '@aws-sdk/client-ec2'
import {GetCallerIdentityCommand} from '@aws-sdk/client-sts'
import {InfrastructureError} from '../errors.ts'
import {type AwsApi, call, openApi} from './aws/api.ts'
import {awsProblems} from './aws/check.ts'
import {awsCode} from './aws/errors.ts'
import {awsClusters, awsOwned} from './aws/owned.ts'
import {awsRemove} from './aws/removal.ts'
import {awsVmSizes} from './aws/sizes.ts'
import type {Cloud, CloudIdentity, CloudRegion} from './cloud.ts'
import {hostKeysOf} from './host-keys.ts'

/** AWS in one region, with the credentials of the SDK's own chain. Throws InfrastructureError REGION_MISSING. */
export async function awsCloud(where: {
  readonly region?: string | undefined
  readonly profile?: string | undefined
}): Promise<Cloud> {
  const api = await openApi(where)
  return {
    kind: 'aws',
    region: api.region,
    identity: (signal) => identity(api, signal),
    hostKeys: (ids, signal) => hostKeysOf(ids, (id) => consoleOf(api, id, signal)),
    findOwned: (cluster, signal) => awsOwned(api, cluster, signal),
    ownedClusters: (signal) => awsClusters(api, signal),
    remove: (resource, signal) => awsRemove(api, resource, signal),
    regions: (signal) => regions(api, signal),
    vmSizes: (signal) => awsVmSizes(api, signal),
    check: (wanted, signal) => awsProblems(api, wanted, signal),
  }
}

async function identity(api: AwsApi, signal: AbortSignal): Promise<CloudIdentity> {
  const {Account: account = '', Arn: principal = ''} = await call(
    'sts:GetCallerIdentity',
    signal,
    (options) => api.sts.send(new GetCallerIdentityCommand({}), options),
  )
  return {kind: 'aws', account, principal, region: api.region}
}

async function regions(api: AwsApi, signal: AbortSignal): Promise<readonly CloudRegion[]> {
  const answer = await call('ec2:DescribeRegions', signal, (options) =>
    api.ec2.send(new DescribeRegionsCommand({AllRegions: true}), options),
  )
  return (answer.Regions ?? [])
    .map(({RegionName: name = '', OptInStatus: status}) => ({
      name,
      title: name,
      enabled: status !== 'not-opted-in',
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

async function consoleOf(api: AwsApi, id: string, signal: AbortSignal): Promise<string> {
  const ask = (latest: boolean) =>
    call('ec2:GetConsoleOutput', signal, (options) =>
      api.ec2.send(new GetConsoleOutputCommand({InstanceId: id, Latest: latest}), options),
    )
  try {
    return textOf((await ask(true)).Output)
  } catch (error) {
    const code = error instanceof InfrastructureError ? awsCode(error.cause) : undefined
    // One that was made a moment ago is not known everywhere yet.
    if (code === 'InvalidInstanceID.NotFound') return ''
    // Machines without Nitro keep what they said at boot only, which is what is wanted.
    if (code !== 'UnsupportedOperation') throw error
    return textOf((await ask(false)).Output)
  }
}

const textOf = (output: string | undefined): string => Buffer.from(output ?? '', 'base64').toString('utf8')
