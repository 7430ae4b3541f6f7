import {expect, test} from 'vitest'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {splitHooks} from '../../../../src/platform/charts/helm-hooks.ts'

const object = (kind: string, name: string, hook?: string, weight = '0'): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: {
    name,
    annotations: hook === undefined ? {} : {'helm.sh/hook': hook, 'helm.sh/hook-weight': weight},
  },
})

test('Jobs become hooks by their weight, what they need is kept, the rest is left out', () => {
  const {objects, before, after, notes} = splitHooks([
    object('Deployment', 'web'),
    object('Job', 'second', 'pre-install,pre-upgrade', '5'),
    object('Job', 'first', 'pre-install', '-5'),
    object('Job', 'both', 'pre-upgrade, post-install'),
    object('ServiceAccount', 'migrator', 'pre-install'),
    object('Pod', 'check', 'test'),
    object('Job', 'gone', 'post-delete'),
  ])
  expect(objects.map(({metadata}) => metadata.name)).toEqual(['web', 'migrator'])
  expect(before.map(({metadata}) => metadata.name)).toEqual(['first', 'both', 'second'])
  expect(after.map(({metadata}) => metadata.name)).toEqual(['both'])
  expect(before[0]?.metadata.annotations).toEqual({})
  expect(notes).toEqual([
    'ServiceAccount migrator is kept as an object of the service: helm has it as a hook',
    'Pod check is left out: it is a hook for test',
    'Job gone is left out: it is a hook for post-delete',
  ])
})
