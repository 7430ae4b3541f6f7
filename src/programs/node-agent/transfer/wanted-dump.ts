/** A dump of another node that a Migration moves to this one. */
export interface WantedDump {
  readonly namespace: string
  readonly checkpoint: string
  readonly checkpointUid: string
  readonly migration: string
  /** Name of the node that has it. */
  readonly source: string
}

/** Memory that the node of a dump serves. */
export interface WantedPages extends WantedDump {
  /** Name of this node. */
  readonly target: string
  /** Public half of the key that the source proves to have (DER, in base64). */
  readonly sourceKey: string
}
