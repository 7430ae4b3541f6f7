export interface CheckpointFinding {
  /** Node, or pod. */
  readonly where: string
  readonly check: string
  /** `blocks`: it will not work. `loses`: it works, and something is not carried along. */
  readonly weight: 'blocks' | 'loses'
  readonly problem: string
  readonly fix: string
}
