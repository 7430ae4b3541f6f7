import {z} from 'zod'
import {InfrastructureError} from '../errors.ts'
import {type AzureApi, type AzureWhere, call, gather, openApi, partsOf} from './azure/api.ts'
import {azureProblems} from './azure/check.ts'
import {azureAnswer, azureFailure} from './azure/errors.ts'
import {azureClusters, azureOwned, azureRemove} from './azure/owned.ts'
import {azureVmSizes} from './azure/sizes.ts'
import type {Cloud, CloudIdentity, CloudRegion} from './cloud.ts'
import {hostKeysOf} from './host-keys.ts'

/** A serial log grows with the machine's life; what it said at boot is at its beginning. */
const LOG_BYTES = 1024 * 1024

/**
 * Azure in one subscription and location, with the credentials of Azure's own chain.
 * Throws InfrastructureError REGION_MISSING, ConfigError FLAG_MISSING without a subscription.
 */
export async function azureCloud(
  where: Omit<AzureWhere, 'location'> & {readonly location?: string | undefined},
): Promise<Cloud> {
  const {location} = where
  if (location === undefined) {
    throw new InfrastructureError('REGION_MISSING', 'the Azure location is not set', {
      suggestions: [
        'set it in the file: spec.provider.azure.location: westeurope',
        'or in the context: clouder ctx set NAME --location westeurope',
      ],
    })
  }
  const api = await openApi({...where, location})
  return {
    kind: 'azure',
    region: location,
    identity: (signal) => identity(api, signal),
    hostKeys: (ids, signal) => hostKeysOf(ids, (id) => consoleOf(api, id, signal)),
    findOwned: (cluster, signal) => azureOwned(api, cluster, signal),
    ownedClusters: (signal) => azureClusters(api, signal),
    remove: (resource, signal) => azureRemove(api, resource, signal),
    regions: (signal) => locations(api, signal),
    vmSizes: (signal) => azureVmSizes(api, signal),
    check: (wanted, signal) => azureProblems(api, wanted, signal),
  }
}

const claimsSchema = z.looseObject({
  upn: z.string().optional(),
  unique_name: z.string().optional(),
  appid: z.string().optional(),
  oid: z.string().optional(),
  tid: z.string().optional(),
})

async function identity(api: AzureApi, signal: AbortSignal): Promise<CloudIdentity> {
  const action = 'Microsoft.Resources/subscriptions/read'
  const token = await call(action, signal, () =>
    api.credential.getToken('https://management.azure.com/.default', {abortSignal: signal}),
  )
  try {
    const found = await api.subscriptions.subscriptions.get(api.subscription, {abortSignal: signal})
    const name = found.displayName
    return {
      kind: 'azure',
      account: found.subscriptionId ?? api.subscription,
      ...(name === undefined ? {} : {accountName: name}),
      principal: principalOf(token?.token ?? ''),
      region: api.location,
    }
  } catch (error) {
    // Azure tells whoever may not see a subscription that there is none.
    const status = azureAnswer(error)?.status
    if (status !== 404 && status !== 403) throw azureFailure(error, action, signal)
    const text = `the credentials (${principalOf(token?.token ?? '')}) have no access to subscription ${api.subscription}`
    throw new InfrastructureError('ACCOUNT_MISMATCH', text, {
      cause: error,
      suggestions: [
        'list the subscriptions they have access to: az account list',
        'or log in to its tenant: az login --tenant ID',
      ],
    })
  }
}

/** Who a token is of, for people to read: Azure alone decides what it is worth. */
function principalOf(token: string): string {
  const [, payload = ''] = token.split('.')
  try {
    const claims = claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')))
    const who = claims.upn ?? claims.unique_name ?? claims.appid ?? claims.oid ?? 'unknown'
    return claims.tid === undefined ? who : `${who} of tenant ${claims.tid}`
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return 'unknown'
    throw error
  }
}

async function locations(api: AzureApi, signal: AbortSignal): Promise<readonly CloudRegion[]> {
  const all = await gather(
    'Microsoft.Resources/subscriptions/locations/read',
    signal,
    api.subscriptions.subscriptions.listLocations(api.subscription, {abortSignal: signal}),
  )
  return all
    .map(({name = '', displayName}) => ({name, title: displayName ?? name, enabled: true}))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** The serial log of a machine; empty while there is none. */
async function consoleOf(api: AzureApi, id: string, signal: AbortSignal): Promise<string> {
  const parts = partsOf(id)
  if (parts === undefined) throw new TypeError(`"${id}" is not the resource id of a VM`)
  const action = 'Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action'
  const url = await call(action, signal, async () => {
    try {
      const {virtualMachines} = api.compute
      const places = await virtualMachines.retrieveBootDiagnosticsData(parts.group, parts.name, {
        abortSignal: signal,
      })
      return places.serialConsoleLogBlobUri
    } catch (error) {
      // One that is being made, or made anew, has no log yet.
      const status = azureAnswer(error)?.status
      if (status === 404 || status === 409) return undefined
      throw error
    }
  })
  if (url === undefined) return ''
  // The address holds a signature: it is told to nobody.
  const answer = await call('the serial log of the machine', signal, () =>
    fetch(url, {signal, headers: {range: `bytes=0-${LOG_BYTES - 1}`}}),
  )
  return answer.ok ? answer.text() : ''
}
