import {generateKeyPairSync, sign} from 'node:crypto'
import type {IncomingMessage} from 'node:http'
import {z} from 'zod'
import {API_VERSION} from '../../../api/names.ts'
import {migrationSchema} from '../../../api/resources.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {channelOf} from '../../../operator/peer-tls.ts'
import {checkpointRef, parseCheckpoint, type Named} from '../checkpoint-object.ts'
import type {AgentTools} from '../tools.ts'
import {isSignedBy} from './signed-by.ts'
import type {WantedDump} from './wanted-dump.ts'

/** Header of a request: how many bytes its node has room for. */
export const ROOM_HEADER = 'clouder-room'

/** Header of a request: SHA-256 of the public key of whoever will make the connections for the files. */
export const PIN_HEADER = 'clouder-pin'

/** A key of one transfer: its public half is in the status of the Migration, where only the agent of the target writes. */
export interface TransferKey {
  /** DER, in base64. */
  readonly publicKey: string
  /** Headers of a request over the connection of that name. */
  readonly headersOf: (wanted: WantedDump, channel: Buffer) => Readonly<Record<string, string>>
}

export function transferKey(): TransferKey {
  const {publicKey, privateKey} = generateKeyPairSync('ed25519')
  return {
    publicKey: publicKey.export({type: 'spki', format: 'der'}).toString('base64'),
    headersOf: (wanted, channel) => ({
      'clouder-checkpoint': `${wanted.namespace}/${wanted.checkpoint}`,
      'clouder-migration': wanted.migration,
      'clouder-proof': sign(null, proofText(wanted, channel), privateKey).toString('base64'),
    }),
  }
}

/** It names the connection and the source, so that no one who sees the proof can show it elsewhere. */
const proofText = (
  {checkpointUid, source}: Pick<WantedDump, 'checkpointUid' | 'source'>,
  channel: Buffer,
): Buffer => Buffer.from(`clouder dump\n${checkpointUid}\n${source}\n${channel.toString('hex')}`)

const name = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,252}$/)
const headersSchema = z.looseObject({
  'clouder-checkpoint': z
    .string()
    .transform((text) => text.split('/'))
    .pipe(z.tuple([name, name])),
  'clouder-migration': name,
  'clouder-proof': z.base64(),
})

const OVER: readonly unknown[] = ['Succeeded', 'RolledBack', 'Failed']

/**
 * The Checkpoint of a request. Throws CheckpointError STORE_REFUSED unless the request for its dump comes from the agent
 * of the node that its Migration moves the pod to.
 */
export async function refuseOthers(
  request: IncomingMessage,
  checkpointUid: string,
  {kube, node}: Pick<AgentTools, 'kube' | 'node'>,
): Promise<Named> {
  const channel = channelOf(request)
  const headers = headersSchema.safeParse(request.headers).data
  if (channel === undefined || headers === undefined) throw refused('the request is not signed')
  const [namespace, checkpointName] = headers['clouder-checkpoint']
  const found = await kube.get(checkpointRef({namespace, name: checkpointName}))
  const checkpoint = found === undefined ? undefined : parseCheckpoint(found)
  const target = checkpoint?.spec.transfer?.nodeName
  if (checkpoint?.uid !== checkpointUid || target === undefined)
    throw refused(`checkpoint ${namespace}/${checkpointName} is not transferred`)
  if (checkpoint.status?.nodeName !== node) throw refused(`the checkpoint is not of node ${node}`)
  const migration = headers['clouder-migration']
  const object = await kube.get({apiVersion: API_VERSION, kind: 'Migration', namespace, name: migration})
  const {status = {}} = object === undefined ? {} : migrationSchema.parse(object)
  if (
    status.checkpointName !== checkpointName ||
    status.targetNodeName !== target ||
    OVER.includes(status.phase)
  )
    throw refused(`migration ${migration} does not move checkpoint ${checkpointName} to node ${target}`)
  const proof = Buffer.from(headers['clouder-proof'], 'base64')
  const text = proofText({checkpointUid, source: node}, channel)
  if (!isSignedBy(status.transfer?.publicKey, text, proof))
    throw refused(`the request is not signed by the node agent of ${target}`)
  return checkpoint
}

const refused = (why: string): CheckpointError => new CheckpointError('STORE_REFUSED', why)
