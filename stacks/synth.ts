import {TerraformStack} from 'cdktf'
import {RootConstruct} from 'constructs'
import type {ClusterSpec} from '../src/spec/cluster-spec.ts'
import type {TerraformJson} from './input.ts'

/** A provider of Terraform and which of its versions the stacks were written for. */
export interface ProviderPin {
  readonly name: string
  /** Terraform's notation: `~> 4.55`. */
  readonly version: string
}

/** OpenTofu begins there, and the stacks use nothing newer. */
const TERRAFORM_VERSION = '>= 1.6.0'
/** Of both: from there on the lock of a state in S3 lies beside it. */
const TERRAFORM_VERSION_FOR_S3 = '>= 1.10.0'

/** Builds one stack in memory and gives its JSON, without the notes that cdktf leaves for its own tools. */
export function synthesised(
  spec: ClusterSpec,
  pin: ProviderPin,
  build: (stack: TerraformStack) => void,
): TerraformJson {
  // An App would make a folder for its output.
  const stack = new TerraformStack(new RootConstruct(), 'clouder')
  build(stack)
  stack.prepareStack()
  const plain: unknown = JSON.parse(JSON.stringify(stack.toTerraform(), withoutNotes))
  if (typeof plain !== 'object' || plain === null) throw new TypeError('a stack is no object')
  const terraform = {
    required_version: spec.state.backend === 's3' ? TERRAFORM_VERSION_FOR_S3 : TERRAFORM_VERSION,
    required_providers: {[pin.name]: {source: `hashicorp/${pin.name}`, version: pin.version}},
    ...backendOf(spec),
  }
  return {...plain, terraform}
}

/** Text of the user as Terraform takes it: without interpolation. */
export function literal(text: string): string {
  // As functions: a replacement given as text would have its own meaning of the dollar.
  return text.replaceAll('${', () => '$${').replaceAll('%{', () => '%%{')
}

function withoutNotes(key: string, value: unknown): unknown {
  return key === '//' ? undefined : value
}

function backendOf({name, state}: ClusterSpec): Readonly<Record<string, unknown>> {
  const key = `clouder/${name}.tfstate`
  switch (state.backend) {
    case 'local':
      return {backend: {local: {path: 'terraform.tfstate'}}}
    case 's3': {
      const {bucket, region, key: wanted, profile, kmsKeyId} = asked(state.s3, 's3')
      // The lock is a file beside the state, so that no table is needed.
      const s3 = {bucket, key: wanted ?? key, region, encrypt: true, use_lockfile: true}
      return {backend: {s3: {...s3, ...optional('profile', profile), ...optional('kms_key_id', kmsKeyId)}}}
    }
    case 'azurerm': {
      const {resourceGroup, storageAccount, container, key: wanted} = asked(state.azurerm, 'azurerm')
      const account = {
        resource_group_name: resourceGroup,
        storage_account_name: storageAccount,
        container_name: container,
      }
      return {backend: {azurerm: {...account, key: wanted ?? key, use_azuread_auth: true}}}
    }
    case 'remote': {
      const {hostname, organization, workspace} = asked(state.remote, 'remote')
      return {cloud: {hostname, organization, workspaces: {name: workspace ?? `clouder-${name}`}}}
    }
  }
}

function asked<T>(settings: T | undefined, backend: string): T {
  if (settings === undefined) throw new TypeError(`spec.state.${backend} is missing`)
  return settings
}

function optional(key: string, value: string | undefined): Readonly<Record<string, string>> {
  return value === undefined ? {} : {[key]: value}
}
