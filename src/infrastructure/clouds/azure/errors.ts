import {ClouderError} from '../../../base/errors.ts'
import {NETWORK_CODES} from '../../../base/system-errors.ts'
import {InfrastructureError} from '../../errors.ts'

const NO_CREDENTIALS = new Set([
  'CredentialUnavailableError',
  'AggregateAuthenticationError',
  'ChainedTokenCredentialError',
])
const NO_LOGIN = new Set(['AuthenticationError', 'AuthenticationRequiredError'])
const UNREACHABLE: ReadonlySet<string> = new Set([...NETWORK_CODES, 'REQUEST_SEND_ERROR'])
const LOG_IN = [
  'log in: az login',
  'or set AZURE_TENANT_ID, AZURE_CLIENT_ID and a certificate or federated token',
]

/** What Azure answered: status and code; undefined for what is none of its answers. */
export function azureAnswer(error: unknown): {readonly status: number; readonly code: string} | undefined {
  if (!(error instanceof Error) || !('statusCode' in error) || typeof error.statusCode !== 'number')
    return undefined
  return {status: error.statusCode, code: 'code' in error && typeof error.code === 'string' ? error.code : ''}
}

/** The error of a call in our words; the reason of the signal where that stopped it. */
export function azureFailure(error: unknown, action: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (!(error instanceof Error) || error instanceof ClouderError) return error
  const [said = ''] = error.message.split('\n')
  const fail = (
    code: ConstructorParameters<typeof InfrastructureError>[0],
    message: string,
    suggestions: readonly string[] = [],
  ) => new InfrastructureError(code, message, {cause: error, suggestions})
  if (NO_CREDENTIALS.has(error.name))
    return fail(
      'CREDENTIALS_MISSING',
      'no credentials for Azure: found none in the environment, a managed identity or the Azure CLI',
      LOG_IN,
    )
  const answer = azureAnswer(error)
  if (NO_LOGIN.has(error.name) || answer?.status === 401)
    return fail('CREDENTIALS_EXPIRED', `Azure rejected the credentials for ${action}: ${said}`, LOG_IN)
  if (answer?.status === 403) {
    const missing = /perform action '([^']+)'/.exec(error.message)?.[1] ?? action
    return fail('CLOUD_REFUSED', `Azure denied ${action}: the permission ${missing} is missing`, [
      `allow ${missing} for the identity of these credentials, which \`clouder azure info\` shows`,
    ])
  }
  if ('code' in error && typeof error.code === 'string' && UNREACHABLE.has(error.code)) {
    return fail('CLOUD_UNREACHABLE', `Azure did not respond to ${action}: ${said}`, [
      'check HTTPS_PROXY, then run the same command again',
    ])
  }
  if (answer !== undefined && (answer.status === 429 || answer.status >= 500))
    return fail('CLOUD_UNREACHABLE', `Azure is temporarily unable to run ${action}: ${said}`, [
      'run the same command again in a few minutes',
    ])
  return fail('CLOUD_FAILED', `Azure failed to run ${action}: ${said}`)
}
