import {join} from 'node:path'
import {clusterDocumentSchema, type ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {clusterPaths} from '../../src/store/disk.ts'
import type {ProviderContext} from '../../src/infrastructure/providers/provider.ts'
import {recordingReport, type RecordingReport} from './recording-report.ts'

/** A spec as the loader gives it, from what a test says of `spec`. */
export function specOf(name: string, spec: unknown): ClusterSpec {
  const document = clusterDocumentSchema.parse({
    apiVersion: 'clouder.dev/v1alpha1',
    kind: 'Cluster',
    metadata: {name},
    spec,
  })
  return {name, ...document.spec}
}

export interface TestContext extends ProviderContext {
  readonly recorded: RecordingReport
}

/** A provider's context whose files lie below `home`. */
export function contextIn(home: string, name: string): TestContext {
  const recorded = recordingReport()
  return {
    paths: clusterPaths(join(home, 'clouder'), name),
    report: recorded.report,
    signal: AbortSignal.timeout(280_000),
    recorded,
  }
}
