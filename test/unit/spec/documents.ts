import {expect} from 'vitest'
import {stringify} from 'yaml'
import {ConfigError, type ConfigProblem} from '../../../src/base/errors.ts'
import type {ClusterSpec} from '../../../src/spec/cluster-spec.ts'
import {loadSpec, type SpecOverrides} from '../../../src/spec/load.ts'

/** A cluster.yaml with the given body. */
export function documentWith(spec: unknown, name: unknown = 'demo'): string {
  return stringify({apiVersion: 'clouder.dev/v1alpha1', kind: 'Cluster', metadata: {name}, spec})
}

export function specWith(spec: unknown, overrides: SpecOverrides = {}): ClusterSpec {
  return loadSpec({text: documentWith(spec), file: 'cluster.yaml', overrides})
}

/** The ConfigError of a load that must fail. */
export function errorOf(load: () => unknown): ConfigError {
  try {
    load()
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  return expect.fail('the specification was accepted')
}

/** `path: problem` of every problem, in order. */
export function problemsOf(load: () => unknown): readonly string[] {
  return errorOf(load).problems.map(({path, problem}: ConfigProblem) => `${path}: ${problem}`)
}
