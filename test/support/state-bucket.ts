import type {TestContext} from 'vitest'
import {z} from 'zod'
import {startAwsFront, type AwsFront, type Emulator} from './aws-front.ts'
import {needMoto} from './moto.ts'

const lockSchema = z.looseObject({ID: z.string(), Who: z.string()})
type Lock = z.output<typeof lockSchema>

const BUCKET = 'state'
const KEY = 'clouder/demo.tfstate'
/** The emulator looks who asks, not whether the signature is right. */
const authorization =
  'AWS4-HMAC-SHA256 Credential=testing/20261121/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=none'

export interface StateBucket {
  /** For `terraform.backend` of a stack. */
  readonly backend: object
  /** Variables with which Terraform talks to the emulator. */
  readonly environment: NodeJS.ProcessEnv
  /** Refuses, as S3 would, what Terraform asks for from now on: `PUT /clouder/demo.tfstate`, … */
  readonly refuse: AwsFront['refuse']
  /** Who holds the lock now. */
  readonly lock: () => Promise<Lock | undefined>
  /** Somebody else takes the lock. */
  readonly lockAs: (lock: Lock) => Promise<void>
}

/** Terraform's own backend s3 on the emulator, its lock beside the state, where it stays when its owner dies. */
export async function withStateBucket(
  context: TestContext,
  use: (bucket: StateBucket) => Promise<void>,
): Promise<void> {
  await using moto = await needMoto(context)
  await answered(fetch(`${moto.url}/${BUCKET}`, {method: 'PUT'}))
  await using front = await startAwsFront({emulator: moto})
  const lockUrl = `${moto.url}/${BUCKET}/${KEY}.tflock`
  await use({
    backend: backendOn(front),
    environment: {...process.env, ...front.environment},
    refuse: (call, refusal) => {
      front.refuse(call, refusal)
    },
    lock: async () => {
      const response = await fetch(lockUrl, {headers: {authorization}})
      if (response.status === 404) return undefined
      return lockSchema.parse(await response.json())
    },
    lockAs: async (lock) => {
      await answered(fetch(lockUrl, {method: 'PUT', headers: {authorization}, body: JSON.stringify(lock)}))
    },
  })
}

function backendOn({url}: Emulator): object {
  return {
    s3: {
      bucket: BUCKET,
      key: KEY,
      region: 'eu-central-1',
      use_lockfile: true,
      use_path_style: true,
      skip_credentials_validation: true,
      skip_metadata_api_check: true,
      skip_requesting_account_id: true,
      endpoints: {s3: url},
    },
  }
}

async function answered(request: Promise<Response>): Promise<void> {
  const response = await request
  if (!response.ok) throw new Error(`the emulator answers ${response.status}: ${await response.text()}`)
}
