import {ComputeManagementClient} from '@azure/arm-compute'
import {NetworkManagementClient} from '@azure/arm-network'
import {ResourceManagementClient, type ResourceManagementClientOptionalParams} from '@azure/arm-resources'
import {SubscriptionClient} from '@azure/arm-resources-subscriptions'
import {DefaultAzureCredential, type TokenCredential} from '@azure/identity'
import {ConfigError} from '../../../base/errors.ts'
import {azureFailure} from './errors.ts'

/** The clients of one subscription. The token comes from Azure's own chain: variables, identities, the Azure CLI. */
export interface AzureApi {
  readonly subscription: string
  readonly location: string
  readonly credential: TokenCredential
  readonly compute: ComputeManagementClient
  readonly network: NetworkManagementClient
  readonly resources: ResourceManagementClient
  readonly subscriptions: SubscriptionClient
}

export interface AzureWhere {
  readonly subscription?: string | undefined
  readonly location: string
  readonly signal: AbortSignal
  /** Default: Azure's own chain, which never opens a browser. */
  readonly credential?: TokenCredential
  /** Default: HTTPS to the public cloud. */
  readonly httpClient?: HttpClient
}

/** What sends the requests of every client. */
export type HttpClient = NonNullable<ResourceManagementClientOptionalParams['httpClient']>

/** Opens them. Without a subscription it is the only one that the credentials see. Throws ConfigError, InfrastructureError. */
export async function openApi(where: AzureWhere): Promise<AzureApi> {
  const credential = where.credential ?? new DefaultAzureCredential()
  const options = where.httpClient === undefined ? {} : {httpClient: where.httpClient}
  const subscriptions = new SubscriptionClient(credential, options)
  const subscription = where.subscription ?? (await onlySubscription(subscriptions, where.signal))
  return {
    subscription,
    location: where.location,
    credential,
    compute: new ComputeManagementClient(credential, subscription, options),
    network: new NetworkManagementClient(credential, subscription, options),
    resources: new ResourceManagementClient(credential, subscription, options),
    subscriptions,
  }
}

/** Subscriptions that are enabled. Throws InfrastructureError. */
export async function listSubscriptions(
  signal: AbortSignal,
  client = new SubscriptionClient(new DefaultAzureCredential()),
): Promise<readonly {readonly id: string; readonly title: string}[]> {
  const all = await gather(
    'Microsoft.Resources/subscriptions/read',
    signal,
    client.subscriptions.list({abortSignal: signal}),
  )
  return all
    .filter(({state}) => state === 'Enabled')
    .map(({subscriptionId: id = '', displayName}) => ({id, title: displayName ?? id}))
}

async function onlySubscription(client: SubscriptionClient, signal: AbortSignal): Promise<string> {
  const enabled = await listSubscriptions(signal, client)
  const [only] = enabled
  if (only !== undefined && enabled.length === 1) return only.id
  const names = enabled.map(({id, title}) => `${id} (${title})`)
  throw new ConfigError(
    'FLAG_MISSING',
    enabled.length === 0
      ? 'the credentials have no access to any Azure subscription'
      : `the credentials have access to ${enabled.length} Azure subscriptions, and none is selected`,
    {
      suggestions: [
        ...(names.length === 0
          ? ['log in to the right tenant: az login --tenant ID']
          : [`choose one of ${names.join(', ')}`]),
        'set it in the file: spec.provider.azure.subscription',
        'or in the context: clouder ctx set NAME --subscription ID',
      ],
    },
  )
}

/** One call; `action` is what its permission is called. Throws InfrastructureError. */
export async function call<T>(action: string, signal: AbortSignal, send: () => Promise<T>): Promise<T> {
  try {
    return await send()
  } catch (error) {
    throw azureFailure(error, action, signal)
  }
}

/** All pages of a list as one. */
export async function gather<Item>(
  action: string,
  signal: AbortSignal,
  items: AsyncIterable<Item>,
): Promise<readonly Item[]> {
  const found: Item[] = []
  try {
    for await (const item of items) found.push(item)
  } catch (error) {
    throw azureFailure(error, action, signal)
  }
  return found
}

/** Resource group and name of a resource id: `/subscriptions/…/resourceGroups/G/providers/Microsoft.X/type/N`. */
export function partsOf(
  id: string,
): {readonly group: string; readonly type: string; readonly name: string} | undefined {
  const [, group, type, name] =
    /\/resourceGroups\/([^/]+)\/providers\/([^/]+\/[^/]+)\/([^/]+)$/i.exec(id) ?? []
  return group === undefined || type === undefined || name === undefined ? undefined : {group, type, name}
}

/** A resource id as the SDK puts it into an address: it writes the first slash itself. */
export const pathOf = (id: string): string => id.replace(/^\//, '')
