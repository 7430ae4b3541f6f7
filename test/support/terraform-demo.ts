import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {specOf} from './local-cluster.ts'
import {REGION} from './terraform-cluster.ts'

/** The cluster demo on a cloud: a control plane and some workers. */
export const awsDemo = (workers = 1, more: object = {}): ClusterSpec =>
  specOf('demo', {
    provider: {kind: 'aws', aws: {region: REGION}},
    workers: [{count: workers}],
    access: {adminCidrs: ['203.0.113.0/24']},
    ...more,
  })
