import {StorageAccount, type StorageAccountConfig} from '@cdktf/provider-azurerm/lib/storage-account/index.js'
import {StorageContainer} from '@cdktf/provider-azurerm/lib/storage-container/index.js'
import {StorageManagementPolicy} from '@cdktf/provider-azurerm/lib/storage-management-policy/index.js'
import {StorageShare} from '@cdktf/provider-azurerm/lib/storage-share/index.js'
import {Fn, ref, Token} from 'cdktf'
import {formatAddress, formatCidr, overlaps, parseCidr} from '../../src/base/cidr.ts'
import {addressed, type Frame, kept, placed} from './frame.ts'
import type {AzureNetwork} from './network.ts'
import {adminCidrs} from './security.ts'

export interface AzureStorage {
  readonly accountName: string
  /** Ids of the containers, as scopes of roles. */
  readonly checkpointsId: string
  readonly backupsId: string
  /** The share for files, where one was asked for. */
  readonly files?: {readonly accountId: string; readonly accountName: string; readonly share: string}
}

export const CHECKPOINTS_CONTAINER = 'checkpoints'
export const BACKUPS_CONTAINER = 'backups'
const SHARE = 'shared'

/** Smallest share that a premium account takes. */
const SHARE_GIB = 100

/** Account for checkpoints and backups and, where asked for, one for shared files. */
export function storageOf(frame: Frame, network: AzureNetwork): AzureStorage {
  const {stack, spec} = frame
  const random = randomOf(frame)
  const objects = new StorageAccount(stack, 'account objects', {
    ...closedAccount(frame, network, nameOf('clobj', random)),
    accountKind: 'StorageV2',
    accountTier: 'Standard',
    accessTier: 'Hot',
    httpsTrafficOnlyEnabled: true,
    infrastructureEncryptionEnabled: true,
    blobProperties: {
      deleteRetentionPolicy: {days: 7},
      containerDeleteRetentionPolicy: {days: 7},
    },
  })
  addressed(objects, 'objects')
  const [checkpoints, backups] = [CHECKPOINTS_CONTAINER, BACKUPS_CONTAINER].map((name) =>
    addressed(
      new StorageContainer(stack, `container ${name}`, {
        name,
        storageAccountId: objects.id,
        containerAccessType: 'private',
        ...kept(frame.azure),
      }),
      name,
    ),
  )
  if (checkpoints === undefined || backups === undefined) throw new TypeError('two containers are made')
  addressed(lifecycle(frame, objects), 'objects')
  const account = {
    accountName: objects.name,
    checkpointsId: checkpoints.id,
    backupsId: backups.id,
  }
  return spec.provider.azure.sharedFiles ? {...account, files: sharedFiles(frame, network, random)} : account
}

function lifecycle({stack, azure}: Frame, account: StorageAccount): StorageManagementPolicy {
  const days = azure.checkpointRetentionDays
  return new StorageManagementPolicy(stack, 'lifecycle objects', {
    storageAccountId: account.id,
    rule: [
      {
        name: 'expire',
        enabled: true,
        filters: {
          blobTypes: ['blockBlob'],
          prefixMatch: [`${BACKUPS_CONTAINER}/`, `${CHECKPOINTS_CONTAINER}/`],
        },
        actions: {
          baseBlob: {deleteAfterDaysSinceModificationGreaterThan: days},
          snapshot: {deleteAfterDaysSinceCreationGreaterThan: days},
        },
      },
    ],
  })
}

/** NFS is had from premium file accounts only, and only without their demand for HTTPS: it has no such layer. */
function sharedFiles(
  frame: Frame,
  network: AzureNetwork,
  random: string,
): NonNullable<AzureStorage['files']> {
  const {stack} = frame
  const account = new StorageAccount(stack, 'account files', {
    ...closedAccount(frame, network, nameOf('clnfs', random)),
    accountKind: 'FileStorage',
    accountTier: 'Premium',
    httpsTrafficOnlyEnabled: false,
  })
  addressed(account, 'files')
  const share = new StorageShare(stack, 'share', {
    name: SHARE,
    storageAccountId: account.id,
    enabledProtocol: 'NFS',
    quota: SHARE_GIB,
    ...kept(frame.azure),
  })
  return {accountId: account.id, accountName: account.name, share: addressed(share, SHARE).name}
}

/**
 * Random text, made once and kept in the state. Were the names of accounts made of the cluster's, those that an earlier
 * cluster of this name left, as its deletion policy said, would be in the way. Terraform's own resource, so that it
 * takes no provider more.
 */
function randomOf({stack}: Frame): string {
  const [type, name] = ['terraform_data', 'storage-names']
  stack.addOverride(`resource.${type}.${name}`, {
    input: '${uuid()}',
    lifecycle: {ignore_changes: ['input']},
  })
  return Token.asString(ref(`${type}.${name}.output`))
}

/** 3 to 24 lower-case letters and digits, unique in the world. */
function nameOf(prefix: string, random: string): string {
  return Fn.join('', [prefix, Fn.substr(Fn.sha1(random), 0, 24 - prefix.length)])
}

/** No keys, nothing public, and only the nodes' subnet and administrators come through. */
function closedAccount(frame: Frame, network: AzureNetwork, name: string) {
  const {azure} = frame
  const ipRules = publicRanges(adminCidrs(frame.spec))
  return {
    name,
    accountReplicationType: azure.zones.length > 1 ? 'ZRS' : 'LRS',
    minTlsVersion: 'TLS1_2',
    allowNestedItemsToBePublic: false,
    sharedAccessKeyEnabled: false,
    defaultToOauthAuthentication: true,
    crossTenantReplicationEnabled: false,
    localUserEnabled: false,
    networkRules: {
      defaultAction: 'Deny',
      bypass: ['AzureServices'],
      virtualNetworkSubnetIds: [network.nodeSubnetId],
      ...(ipRules.length === 0 ? {} : {ipRules}),
    },
    ...kept(azure),
    ...placed(frame),
  } satisfies Partial<StorageAccountConfig>
}

const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'].flatMap(
  (text) => parseCidr(text) ?? [],
)

/** Ranges as the firewall of an account takes them: public IPv4, networks of at most /30, single addresses bare. */
function publicRanges(texts: readonly string[]): string[] {
  const ranges = texts.flatMap((text) => {
    const cidr = parseCidr(text)
    if (cidr?.family !== 4 || PRIVATE_RANGES.some((range) => overlaps(range, cidr))) return []
    if (cidr.prefix <= 30) return [formatCidr(cidr)]
    const first = {family: cidr.family, value: cidr.base}
    const addresses = cidr.prefix === 32 ? [first] : [first, {...first, value: cidr.base + 1n}]
    return addresses.map(formatAddress)
  })
  return [...new Set(ranges)].sort()
}
