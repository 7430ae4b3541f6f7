import {storeSpecSchema} from '../spec/checkpoint-store.ts'
import {checkpointSpecSchema} from './kinds/checkpoint.ts'
import {containerHostSpecSchema} from './kinds/container-host.ts'
import {migrationSpecSchema} from './kinds/migration.ts'
import {policySpecSchema} from './kinds/policy.ts'
import {restoreSpecSchema} from './kinds/restore.ts'
import {runtimeSpecSchema} from './kinds/runtime.ts'

export {retentionSchema, storeSpecSchema, type Retention, type StoreSpec} from '../spec/checkpoint-store.ts'
export {conditionSchema} from './kinds/metadata.ts'
export * from './kinds/store.ts'
export * from './kinds/checkpoint.ts'
export * from './kinds/restore.ts'
export * from './kinds/migration.ts'
export * from './kinds/policy.ts'
export * from './kinds/runtime.ts'
export * from './kinds/container-host.ts'

/** Every kind with its names, scope and schemas: what the CustomResourceDefinitions are made from. */
export const RESOURCES = {
  CheckpointStore: {plural: 'checkpointstores', namespaced: false, spec: storeSpecSchema},
  Checkpoint: {plural: 'checkpoints', namespaced: true, spec: checkpointSpecSchema},
  Restore: {plural: 'restores', namespaced: true, spec: restoreSpecSchema},
  Migration: {plural: 'migrations', namespaced: true, spec: migrationSpecSchema},
  CheckpointPolicy: {plural: 'checkpointpolicies', namespaced: true, spec: policySpecSchema},
  Runtime: {plural: 'runtimes', namespaced: true, spec: runtimeSpecSchema},
  ContainerHost: {plural: 'containerhosts', namespaced: false, spec: containerHostSpecSchema},
} as const
export type ResourceKind = keyof typeof RESOURCES
