import {privilegesOf} from '../checkpoint/archive/privileges.ts'
import {readArchive} from '../checkpoint/archive/read.ts'
import type {AgentTools} from './tools.ts'

/** What an archive holds, read from its stream. */
export const inspectArchive: AgentTools['inspect'] = async (archive, pod, signal) => {
  const {container, imageDigest, spec} = await readArchive(archive, signal)
  const privileges = privilegesOf(spec, pod)
  return {privileges, imageDigest, summary: {name: container, imageDigest, processes: [], privileges}}
}
