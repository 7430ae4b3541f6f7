import {z} from 'zod'
import {ClouderError} from '../../../base/errors.ts'
import {NETWORK_CODES} from '../../../base/system-errors.ts'
import {InfrastructureError} from '../../errors.ts'

const answerSchema = z.looseObject({$metadata: z.looseObject({httpStatusCode: z.number().optional()})})

const EXPIRED = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'RequestExpired',
  'InvalidClientTokenId',
  'UnrecognizedClientException',
  'SignatureDoesNotMatch',
  'AuthFailure',
  'InvalidAccessKeyId',
])
const REFUSED = new Set([
  'UnauthorizedOperation',
  'AccessDenied',
  'AccessDeniedException',
  'UnauthorizedAccess',
  'OptInRequired',
])
const UNREACHABLE: ReadonlySet<string> = new Set([...NETWORK_CODES, 'TimeoutError', 'NetworkingError'])

/** The cloud works on it, or has too much to do: the SDK tried some times already, and the same call may succeed later. */
const isBusy = (error: Error): boolean => {
  if (/Throttl|RequestLimitExceeded|TooManyRequests|SlowDown/.test(error.name)) return true
  const answer = answerSchema.safeParse(error)
  return answer.success && (answer.data.$metadata.httpStatusCode ?? 0) >= 500
}

/** What AWS calls an error: `DependencyViolation`; undefined for what is none of its own. */
export function awsCode(error: unknown): string | undefined {
  return error instanceof Error && '$metadata' in error ? error.name : undefined
}

/** The error of a call, `ec2:DescribeInstances`, in our words; the reason of the signal where that stopped it. */
export function awsFailure(error: unknown, action: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (!(error instanceof Error) || error instanceof ClouderError) return error
  const {name, message} = error
  const systemCode = 'code' in error && typeof error.code === 'string' ? error.code : name
  const renew = ['aws sso login --profile NAME', 'or renew the environment variables AWS_ACCESS_KEY_ID, …']
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError') {
    return new InfrastructureError('CREDENTIALS_MISSING', `no credentials for AWS: ${firstLine(message)}`, {
      cause: error,
      suggestions: [
        'log in: aws sso login --profile NAME; then set AWS_PROFILE=NAME, or use a context with that profile: clouder ctx set',
        'or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN',
      ],
    })
  }
  if (EXPIRED.has(name)) {
    const text = `AWS rejected the credentials for ${action}: ${firstLine(message)}`
    return new InfrastructureError('CREDENTIALS_EXPIRED', text, {cause: error, suggestions: renew})
  }
  if (REFUSED.has(name)) {
    // AWS names the action that the policies lack, which need not be the one that was called.
    const missing = /not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)/.exec(message)?.[1] ?? action
    return new InfrastructureError(
      'CLOUD_REFUSED',
      `AWS denied ${action}: the permission ${missing} is missing`,
      {
        cause: error,
        suggestions: [
          `allow ${missing} for the identity of these credentials, which \`clouder aws info\` shows`,
        ],
      },
    )
  }
  if (UNREACHABLE.has(systemCode) || UNREACHABLE.has(name)) {
    return new InfrastructureError(
      'CLOUD_UNREACHABLE',
      `AWS did not respond to ${action}: ${firstLine(message)}`,
      {
        cause: error,
        suggestions: ['check the region, HTTPS_PROXY and AWS_ENDPOINT_URL, then run the same command again'],
      },
    )
  }
  if (isBusy(error)) {
    const text = `AWS is temporarily unable to run ${action}: ${name}: ${firstLine(message)}`
    return new InfrastructureError('CLOUD_UNREACHABLE', text, {
      cause: error,
      suggestions: ['run the same command again in a few minutes'],
    })
  }
  return new InfrastructureError(
    'CLOUD_FAILED',
    `AWS failed to run ${action}: ${name}: ${firstLine(message)}`,
    {
      cause: error,
    },
  )
}

const firstLine = (text: string): string => text.split('\n')[0] ?? text
