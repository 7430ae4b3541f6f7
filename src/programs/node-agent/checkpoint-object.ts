import {API_VERSION} from '../../api/names.ts'
import {checkpointSchema, type Checkpoint} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'

/** A Checkpoint of a namespace. */
export interface CheckpointName {
  readonly namespace: string
  readonly name: string
}

/** A Checkpoint with what every one on the server has. */
export type Named = Checkpoint & CheckpointName & {readonly uid: string}

export const checkpointRef = ({namespace, name}: CheckpointName) =>
  ({apiVersion: API_VERSION, kind: 'Checkpoint', namespace, name}) as const

export function parseCheckpoint(object: KubeObject): Named {
  const checkpoint = checkpointSchema.parse(object)
  const {name, namespace = '', uid = ''} = checkpoint.metadata
  return {...checkpoint, name, namespace, uid}
}
