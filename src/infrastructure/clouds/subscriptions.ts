import {InfrastructureError} from '../errors.ts'
import {listSubscriptions} from './azure/api.ts'

/** Subscriptions that the credentials of this machine see; none where there are no credentials. */
export async function azureSubscriptions(
  signal: AbortSignal,
): Promise<readonly {readonly id: string; readonly title: string}[]> {
  try {
    return await listSubscriptions(signal)
  } catch (error) {
    if (error instanceof InfrastructureError && error.code === 'CREDENTIALS_MISSING') return []
    throw error
  }
}
