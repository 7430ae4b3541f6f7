import {checkpointReconciler} from './checkpoint.ts'
import {containerHostReconciler} from './container-host.ts'
import {finishedMigrationReconciler, finishedRestoreReconciler} from './ttl-after-finished.ts'
import {interruptionReconciler} from './interruption.ts'
import {kubeletServingReconciler} from './kubelet-serving.ts'
import {migrationReconciler} from './migrate.ts'
import {policyReconciler} from './policies.ts'
import {restoreReconciler} from './restore.ts'
import {runtimeReconciler} from './runtime.ts'
import {storeContentReconciler} from './store-content.ts'
import {storeReconciler} from './store.ts'
import type {Reconciler} from './reconcile-context.ts'

/** All of them, anew for each time that this controller leads: what they remember must not outlive it. */
export const reconcilers = (): readonly Reconciler[] => [
  checkpointReconciler(),
  restoreReconciler,
  finishedRestoreReconciler,
  migrationReconciler,
  finishedMigrationReconciler,
  policyReconciler(),
  storeReconciler(),
  storeContentReconciler,
  runtimeReconciler,
  containerHostReconciler,
  interruptionReconciler(),
  kubeletServingReconciler,
]
