import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {HttpUpgrade} from '../../../operator/http-server.ts'
import {channelOf} from '../../../operator/peer-tls.ts'
import type {AgentTools} from '../tools.ts'
import {refuseOthers} from '../transfer/access.ts'
import {SILENCE_MS} from '../transfer/frames.ts'
import {joinSockets} from './join-sockets.ts'
import {SOURCE_PROOF_HEADER} from './source-key.ts'

/** What a connection to a page server goes on with. */
export const PAGES_PROTOCOL = 'clouder-pages'
const PATH = /^\/v1\/dumps\/([0-9a-f-]{36})\/pages$/
/** As long as a target may take to start the pod: it asks for nothing until then. */
const FIRST_PAGE_MS = 3 * 60_000

export const pagesPath = (checkpointUid: string): string => `/v1/dumps/${checkpointUid}/pages`

/** Connects the agent of the node that a pod is moved to with the page server of the pod. */
export function pageUpgrade({
  pageServers,
  kube,
  node,
  log,
  signal,
}: Pick<AgentTools, 'pageServers' | 'kube' | 'node' | 'log' | 'signal'>): HttpUpgrade {
  return async (request, socket) => {
    const uid = PATH.exec(request.url ?? '')?.[1]
    if (uid === undefined || request.headers.upgrade !== PAGES_PROTOCOL) return false
    try {
      const {spec, status} = await refuseOthers(request, uid, {kube, node})
      const podUid = status?.podUID ?? ''
      const sent = {checkpointUid: uid, target: spec.transfer?.nodeName ?? ''}
      const proof = pageServers.keyOf(podUid).prove(sent, channelOf(request) ?? Buffer.alloc(0))
      const pages = await pageServers.connect(podUid, signal)
      log('info', 'sending memory of a pod that runs on another node', {checkpoint: uid})
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PAGES_PROTOCOL}\r\n${SOURCE_PROOF_HEADER}: ${proof}\r\n\r\n`,
      )
      let sentBytes = 0
      const onBytes = (bytes: number): void => void (sentBytes += bytes)
      const silence = {firstMs: FIRST_PAGE_MS, restMs: SILENCE_MS}
      await joinSockets(pages, socket, {onBytes, silence, signal})
      log('info', 'no longer sends memory', {checkpoint: uid, bytes: sentBytes})
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      log('warn', 'refused to send memory', {checkpoint: uid, error: error.message})
      socket.end(`HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n${error.message}`)
    }
    return true
  }
}
