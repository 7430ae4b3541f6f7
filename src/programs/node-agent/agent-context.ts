import type * as operator from '../../operator/reconciler.ts'
import type {CheckpointImages} from './create-image.ts'
import type {AgentKind} from './followed-kinds.ts'
import type {Preparations} from './prepare.ts'
import type {AgentTools} from './tools.ts'

/** What the agent's reconcilers work with. */
export interface AgentContext extends operator.ReconcileContext<AgentKind> {
  readonly tools: AgentTools
  readonly preparations: Preparations
  readonly checkpointImages: CheckpointImages
}

export type Reconciler = operator.Reconciler<AgentKind, AgentContext>
