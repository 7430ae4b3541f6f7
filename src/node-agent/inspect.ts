import {privilegesOf} from '../checkpoint/archive/privileges.ts'
import {readArchive} from '../checkpoint/archive/read.ts'
import type {AgentTools} from './tools.ts'

/** Of each kind; an object of the API server holds a MiB at most. */
const MAX_LISTED = 500

/** What an archive holds, read from its stream. */
export const inspectArchive: AgentTools['inspect'] = async (archive, pod, signal) => {
  const {container, imageDigest, spec, contents} = await readArchive(archive, signal)
  const privileges = privilegesOf(spec, pod)
  return {
    privileges,
    imageDigest,
    summary: {
      name: container,
      imageDigest,
      privileges,
      imageBytes: contents.imageBytes,
      filesBytes: contents.filesBytes,
      processes: contents.processes.slice(0, MAX_LISTED).map((process) => ({...process})),
      sockets: contents.sockets.slice(0, MAX_LISTED).map((socket) => ({...socket})),
      openFiles: contents.openFiles.slice(0, MAX_LISTED),
      mounts: contents.mounts.slice(0, MAX_LISTED),
    },
  }
}
