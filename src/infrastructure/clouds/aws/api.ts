import {EC2Client} from '@aws-sdk/client-ec2'
import {EFSClient} from '@aws-sdk/client-efs'
import {ElasticLoadBalancingClient} from '@aws-sdk/client-elastic-load-balancing'
import {ElasticLoadBalancingV2Client} from '@aws-sdk/client-elastic-load-balancing-v2'
import {IAMClient} from '@aws-sdk/client-iam'
import {PricingClient} from '@aws-sdk/client-pricing'
import {ResourceGroupsTaggingAPIClient} from '@aws-sdk/client-resource-groups-tagging-api'
import {S3Client} from '@aws-sdk/client-s3'
import {ServiceQuotasClient} from '@aws-sdk/client-service-quotas'
import {STSClient} from '@aws-sdk/client-sts'
import {InfrastructureError} from '../../errors.ts'
import {awsFailure} from './errors.ts'

const CONNECT_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000

/** The clients of one region and profile. Each takes its credentials from the SDK's default chain, and from nowhere else. */
export interface AwsApi {
  readonly region: string
  readonly ec2: EC2Client
  readonly elb: ElasticLoadBalancingClient
  readonly elbv2: ElasticLoadBalancingV2Client
  readonly efs: EFSClient
  readonly iam: IAMClient
  readonly s3: S3Client
  readonly sts: STSClient
  readonly tagging: ResourceGroupsTaggingAPIClient
  readonly quotas: ServiceQuotasClient
  readonly pricing: PricingClient
}

/** Opens them; nothing is asked yet. Throws InfrastructureError REGION_MISSING. */
export async function openApi(where: {
  readonly region?: string | undefined
  readonly profile?: string | undefined
}): Promise<AwsApi> {
  const given = {
    requestHandler: {connectionTimeout: CONNECT_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS},
    ...(where.region === undefined ? {} : {region: where.region}),
    ...(where.profile === undefined ? {} : {profile: where.profile}),
  }
  const ec2 = new EC2Client(given)
  const config = {...given, region: await regionOf(ec2)}
  return {
    region: config.region,
    ec2,
    elb: new ElasticLoadBalancingClient(config),
    elbv2: new ElasticLoadBalancingV2Client(config),
    efs: new EFSClient(config),
    iam: new IAMClient(config),
    // Names of buckets with dots, and emulators, have no host name of their own.
    s3: new S3Client({...config, forcePathStyle: true}),
    sts: new STSClient(config),
    tagging: new ResourceGroupsTaggingAPIClient(config),
    quotas: new ServiceQuotasClient(config),
    // Prices of all regions are told in this one.
    pricing: new PricingClient({...config, region: 'us-east-1'}),
  }
}

async function regionOf(ec2: EC2Client): Promise<string> {
  try {
    return await ec2.config.region()
  } catch (cause) {
    throw new InfrastructureError('REGION_MISSING', 'the AWS region is not set', {
      cause,
      suggestions: [
        'set it in the file: spec.provider.aws.region: eu-central-1',
        'or in the context: clouder ctx set NAME --region eu-central-1',
        'or in the environment: AWS_REGION=eu-central-1',
      ],
    })
  }
}

/** One call; `action` is what its permission is called. Throws InfrastructureError. */
export async function call<T>(
  action: string,
  signal: AbortSignal,
  send: (options: {readonly abortSignal: AbortSignal}) => Promise<T>,
): Promise<T> {
  try {
    return await send({abortSignal: signal})
  } catch (error) {
    throw awsFailure(error, action, signal)
  }
}

/** All pages of a list as one. */
export async function gather<Page, Item>(
  action: string,
  signal: AbortSignal,
  pages: AsyncIterable<Page>,
  items: (page: Page) => readonly Item[] | undefined,
): Promise<readonly Item[]> {
  const found: Item[] = []
  try {
    for await (const page of pages) found.push(...(items(page) ?? []))
  } catch (error) {
    throw awsFailure(error, action, signal)
  }
  return found
}
