/** A dump of another node that a Migration moves to this one. */
export interface WantedDump {
  readonly namespace: string
  readonly checkpoint: string
  readonly checkpointUid: string
  readonly migration: string
  /** Name of the node that has it. */
  readonly source: string
}
