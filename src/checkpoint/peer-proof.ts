import {createHmac, timingSafeEqual} from 'node:crypto'

const SKEW_MS = 5 * 60_000

/** Header of a request to a node agent that holds the proof. */
export const PEER_PROOF_HEADER = 'x-clouder-proof'

/** Path by which a node agent tells the processor time of its pods. */
export const USAGE_PATH = '/v1/usage'

/** `<ms since the epoch> <hex hmac>`: says that who asks knows the key of the agents, without sending it. */
export function peerProof(path: string, key: string, nowMs: number): string {
  return `${nowMs} ${createHmac('sha256', Buffer.from(key, 'base64')).update(`${nowMs} ${path}`).digest('hex')}`
}

/** Whether the header of a request for that path holds such a proof, not older than five minutes. */
export function isPeerProof(proof: unknown, path: string, key: string, nowMs: number): boolean {
  if (typeof proof !== 'string') return false
  const saidMs = Number(proof.split(' ')[0])
  if (!Number.isSafeInteger(saidMs) || Math.abs(nowMs - saidMs) > SKEW_MS) return false
  const [given, right] = [Buffer.from(proof), Buffer.from(peerProof(path, key, saidMs))]
  return given.length === right.length && timingSafeEqual(given, right)
}
