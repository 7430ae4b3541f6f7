import {checkpointSchema} from './kinds/checkpoint.ts'
import {containerHostSchema} from './kinds/container-host.ts'
import {migrationSchema} from './kinds/migration.ts'
import {checkpointPolicySchema} from './kinds/policy.ts'
import {restoreSchema} from './kinds/restore.ts'
import {runtimeSchema} from './kinds/runtime.ts'
import {checkpointStoreSchema} from './kinds/store.ts'

export {retentionSchema, storeSpecSchema, type Retention, type StoreSpec} from './checkpoint-store.ts'
export {conditionSchema} from './kinds/metadata.ts'
export * from './kinds/store.ts'
export * from './kinds/checkpoint.ts'
export * from './kinds/restore.ts'
export * from './kinds/migration.ts'
export * from './kinds/policy.ts'
export * from './kinds/runtime.ts'
export * from './kinds/container-host.ts'

/** Every kind with its names, scope and schema: what the CustomResourceDefinitions are made from. */
export const RESOURCES = {
  CheckpointStore: {plural: 'checkpointstores', namespaced: false, schema: checkpointStoreSchema},
  Checkpoint: {plural: 'checkpoints', namespaced: true, schema: checkpointSchema},
  Restore: {plural: 'restores', namespaced: true, schema: restoreSchema},
  Migration: {plural: 'migrations', namespaced: true, schema: migrationSchema},
  CheckpointPolicy: {plural: 'checkpointpolicies', namespaced: true, schema: checkpointPolicySchema},
  Runtime: {plural: 'runtimes', namespaced: true, schema: runtimeSchema},
  ContainerHost: {plural: 'containerhosts', namespaced: false, schema: containerHostSchema},
} as const
export type ResourceKind = keyof typeof RESOURCES
