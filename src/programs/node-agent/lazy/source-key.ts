import {generateKeyPairSync, sign} from 'node:crypto'
import {isSignedBy} from '../transfer/signed-by.ts'

/** Header of the response of a source: it has the key that is in the status of the Checkpoint, and means this connection. */
export const SOURCE_PROOF_HEADER = 'clouder-source-proof'

/** What memory is sent, and to whom. */
export interface SentPages {
  readonly checkpointUid: string
  /** Name of the node that the pod is moved to. */
  readonly target: string
}

/**
 * A key of one page server: its public half is in the status of the Checkpoint, where only the agent of the node of the
 * pod writes. No digest covers memory that is sent while the pod runs, so whoever sends it has to be known.
 */
export interface SourceKey {
  /** DER, in base64. */
  readonly publicKey: string
  /** Proves, over the connection of that name, that it leads to the page server. */
  readonly prove: (sent: SentPages, channel: Buffer) => string
}

export function sourceKey(): SourceKey {
  const {publicKey, privateKey} = generateKeyPairSync('ed25519')
  return {
    publicKey: publicKey.export({type: 'spki', format: 'der'}).toString('base64'),
    prove: (sent, channel) => sign(null, proofText(sent, channel), privateKey).toString('base64'),
  }
}

export const isProvenBy = (
  publicKey: string | undefined,
  sent: SentPages,
  channel: Buffer,
  proof: unknown,
): boolean =>
  typeof proof === 'string' && isSignedBy(publicKey, proofText(sent, channel), Buffer.from(proof, 'base64'))

/** It names the connection and the target, so that no one who sees the proof can show it elsewhere. */
const proofText = ({checkpointUid, target}: SentPages, channel: Buffer): Buffer =>
  Buffer.from(`clouder pages\n${checkpointUid}\n${target}\n${channel.toString('hex')}`)
