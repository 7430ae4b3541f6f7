import type {TerraformDiagnostic} from '../base/errors.ts'
import {TerraformError, type TerraformErrorCode} from './errors.ts'

export interface StateLock {
  readonly id: string
  /** `user@machine`. */
  readonly who: string
  /** `OperationTypeApply`. */
  readonly operation: string
  /** As Terraform writes it. */
  readonly created: string
}

/** A state that somebody else holds. */
export class StateLockedError extends TerraformError {
  readonly lock: StateLock

  constructor(lock: StateLock, dir: string, diagnostics: readonly TerraformDiagnostic[]) {
    const {id, who, operation, created} = lock
    super(
      'STATE_LOCKED',
      `the state is locked by ${who} since ${created}, for ${operation.replace('OperationType', '').toLowerCase()}, lock ${id}`,
      {
        diagnostics,
        suggestions: [
          'wait until that run ends, then run the same command again',
          `only if that run no longer exists: cd ${dir} && terraform force-unlock ${id}`,
        ],
      },
    )
    this.lock = lock
  }
}

/** What clouds say through their providers, by the words of their own error codes; Terraform has none of its own. */
const known: readonly (readonly [RegExp, TerraformErrorCode, string])[] = [
  [
    /ExpiredToken|RequestExpired|token (has |is )?expired|AADSTS700082/i,
    'CREDENTIALS_EXPIRED',
    'log in again, then run the same command again: it continues with what is missing',
  ],
  [
    /No valid credential sources|NoCredentialProviders|failed to refresh cached credentials|AuthFailure|InvalidClientTokenId|unable to build authorizer|could not configure AzureCli/i,
    'CREDENTIALS_MISSING',
    'log in: aws sso login, or az login',
  ],
  [
    /VcpuLimitExceeded|InstanceLimitExceeded|AddressLimitExceeded|VpcLimitExceeded|QuotaExceeded|exceed(s|ing) (the )?(approved )?.{0,40}quota/i,
    'QUOTA_EXCEEDED',
    'request a higher limit from the cloud, or use fewer or smaller machines: spec.controlPlane, spec.workers',
  ],
  [
    /InvalidAMIID|PlatformImageNotFound|ImageNotFound/,
    'IMAGE_MISSING',
    'use another image: spec.provider.aws.imageId, or image',
  ],
  [
    /InvalidParameterValue: Invalid value '[^']+' for InstanceType|Unsupported: .{0,60}instance type|SkuNotAvailable/i,
    'SIZE_NOT_OFFERED',
    'use another size or zone: size of spec.controlPlane and spec.workers',
  ],
  [
    /already exists - to be managed via Terraform/,
    'TERRAFORM_FAILED',
    'it belongs to an earlier cluster with this name, or to someone else: if it is a resource group whose data was kept, set spec.provider.azure.resourceGroup to it; otherwise delete it, or choose another cluster name',
  ],
  [
    /UnauthorizedOperation|AccessDenied|AuthorizationFailed|not authorized to perform/,
    'CLOUD_REFUSED',
    'give the credentials the permission named above',
  ],
  // https://github.com/hashicorp/terraform-provider-aws/issues/45303
  [
    /Missing Resource Identity After Read/,
    'TERRAFORM_FAILED',
    'the resource named above no longer exists in the cloud, which this provider cannot report: use Terraform 1.12 or newer',
  ],
]

const UNRELEASED = /releasing the state lock/

export interface FailedRun {
  readonly program: 'terraform' | 'tofu'
  readonly operation: string
  readonly dir: string
  readonly exitCode: number
  readonly diagnostics: readonly TerraformDiagnostic[]
  readonly stderr: string
}

/** The error of a run that failed. */
export function failureOf(run: FailedRun): TerraformError {
  const diagnostics = run.diagnostics.length > 0 ? unique(run.diagnostics) : diagnosticsOfText(run.stderr)
  for (const {summary, detail} of diagnostics) {
    const lock = UNRELEASED.test(summary) ? undefined : lockOf(`${summary}\n${detail}`)
    if (lock !== undefined) return new StateLockedError(lock, run.dir, diagnostics)
    if (summary === 'Saved plan is stale')
      return new TerraformError('PLAN_STALE', 'the saved plan is older than the state', {
        diagnostics,
        suggestions: ['create a new plan and apply it: clouder infra plan'],
      })
  }
  const [code, suggestions] = kindOf(run, diagnostics)
  return new TerraformError(code, messageOf(run, diagnostics), {diagnostics, suggestions})
}

/** The lock that a run could not give back when it ended. */
export function unreleasedLock(diagnostics: readonly TerraformDiagnostic[]): StateLock | undefined {
  const found = diagnostics.find(({summary}) => UNRELEASED.test(summary))
  return found === undefined ? undefined : lockOf(`${found.summary}\n${found.detail}`)
}

function kindOf(
  {operation, dir, program}: FailedRun,
  diagnostics: readonly TerraformDiagnostic[],
): readonly [TerraformErrorCode, readonly string[]] {
  const said = diagnostics.map(({summary, detail}) => `${summary}\n${detail}`).join('\n')
  const found = known.find(([pattern]) => pattern.test(said))
  if (found !== undefined) return [found[1], [found[2]]]
  if (/Backend configuration changed/.test(said))
    return [
      'BACKEND_UNREACHABLE',
      [
        `to move the state there: cd ${dir} && ${program} init -migrate-state`,
        'or set spec.state to its previous value',
      ],
    ]
  if (/provider package|install provider|required providers/i.test(said))
    return [
      'TERRAFORM_FAILED',
      [
        'providers are downloaded from the registry, or from the mirror in the CLI configuration of Terraform',
        `run it manually: clouder infra synth --out infra && ${program} -chdir=infra init`,
      ],
    ]
  if (
    operation === 'init' ||
    /(error (loading|saving)|failed to (load|save|get)).{0,20}(state|workspace)/i.test(said)
  )
    return [
      'BACKEND_UNREACHABLE',
      [
        'check spec.state: the bucket, account or workspace must exist, and the credentials must have access to it',
        `run it manually: clouder infra synth --out infra && ${program} -chdir=infra init`,
      ],
    ]
  return [
    'TERRAFORM_FAILED',
    ['fix the reported error, then run the same command again: it continues with what is missing'],
  ]
}

function messageOf(run: FailedRun, diagnostics: readonly TerraformDiagnostic[]): string {
  const {program, operation, exitCode} = run
  if (exitCode > 128) return `${program} ${operation} was killed, exit code ${exitCode}`
  const [first] = diagnostics
  if (first === undefined) return `${program} ${operation} exited with code ${exitCode} and printed no error`
  const where = first.address === undefined ? '' : ` on ${first.address}`
  const more = diagnostics.length === 1 ? '' : ` (and ${diagnostics.length - 1} more)`
  return `${program} ${operation} failed${where}: ${first.summary}${more}`
}

/** Terraform repeats an error for each thing that waited for the same. */
function unique(diagnostics: readonly TerraformDiagnostic[]): readonly TerraformDiagnostic[] {
  return [...new Map(diagnostics.map((each) => [JSON.stringify(each), each])).values()]
}

/** Errors out of what Terraform prints for people: each begins with `Error:`, frames aside. */
function diagnosticsOfText(text: string): readonly TerraformDiagnostic[] {
  const plain = text.replaceAll(/^[╷│╵] ?/gm, '').trim()
  const blocks = plain
    .split(/^Error: /m)
    .slice(1)
    // A preface to what comes next.
    .filter((block) => !/^(Terraform|OpenTofu) encountered problems/.test(block))
  if (blocks.length === 0)
    return plain === '' ? [] : [{summary: plain.split('\n').at(-1) ?? '', detail: plain}]
  return blocks.map((block) => {
    const [summary = '', ...rest] = block.trim().split('\n')
    return {summary, detail: rest.join('\n').trim()}
  })
}

function lockOf(text: string): StateLock | undefined {
  if (!/state lock|Lock Info/i.test(text)) return undefined
  const field = (name: string) => new RegExp(`^\\s*${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  const id = field('ID')
  if (id === '') return undefined
  // Go's own form, `2026-11-21 12:59:47.429775093 +0000 UTC`, which no parser of dates knows.
  const created = field('Created').replace(/^(\S+) (\d\d:\d\d:\d\d)(\.\d{1,3})?\d* \+0000 UTC$/, '$1T$2$3Z')
  return {id, who: field('Who'), operation: field('Operation'), created}
}
