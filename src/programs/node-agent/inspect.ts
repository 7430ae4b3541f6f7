import {obstaclesOf} from '../../checkpoint/archive/obstacles.ts'
import {privilegesOf} from '../../checkpoint/archive/privileges.ts'
import {readArchive} from '../../checkpoint/archive/read.ts'
import type {AgentTools} from './tools.ts'

/** Of each list, so that a status stays small. */
const MOST = 200

/** What an archive holds, read from its stream. */
export const inspectArchive: AgentTools['inspect'] = async (archive, pod, signal) => {
  const {container, imageDigest, spec, contents, deleted} = await readArchive(archive, signal)
  const privileges = privilegesOf(spec, pod)
  const {imageBytes, filesBytes, processes, sockets, openFiles, mounts, held, used} = contents
  return {
    privileges,
    imageDigest,
    deleted,
    used,
    volumes: contents.volumes,
    obstacles: obstaclesOf(container, held, spec, pod),
    summary: {
      name: container,
      imageDigest,
      imageBytes,
      filesBytes,
      processes: processes.slice(0, MOST).map((process) => ({...process})),
      sockets: sockets.slice(0, MOST).map((socket) => ({...socket})),
      openFiles: openFiles.slice(0, MOST).map((file) => ({...file})),
      mounts: mounts.slice(0, MOST),
      privileges,
    },
  }
}
