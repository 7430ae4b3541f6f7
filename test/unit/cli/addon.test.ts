import {expect, test} from 'vitest'
import {parametersOf} from '../../../src/cli/addon-flags.ts'
import {addonChangeText, addonStatusText} from '../../../src/cli/addon-results.ts'
import {countChanges, releasePlanText, riskOf} from '../../../src/cli/release-plan.ts'
import {palette} from '../../../src/cli/terminal.ts'
import type {ReleasePlan} from '../../../src/platform/release/types.ts'

const options = {colours: palette(false), columns: 100}

const plan: ReleasePlan = {
  release: {owner: 'addon', name: 'metrics-server', version: '0.8.1', parameters: {}, objects: []},
  installed: {
    ...{owner: 'addon', name: 'metrics-server', revision: 3, version: '0.8.0', parameters: {}},
    ...{appliedAt: '2026-01-01T00:00:00Z', state: 'deployed', objects: []},
  },
  changes: [
    {
      ref: {apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'kube-system', name: 'metrics-server'},
      action: 'update',
      fields: [
        {path: 'spec.replicas', before: 2, after: 1},
        {path: 'spec.paused', before: true, after: undefined},
      ],
      driftedBy: 'kubectl-edit',
    },
    {ref: {apiVersion: 'v1', kind: 'Namespace', name: 'old'}, action: 'delete', fields: []},
  ],
}

test('a plan shows each object, each field, and who changed it', () => {
  expect(releasePlanText(plan, options).split('\n')).toEqual([
    'metrics-server (0.8.0 to 0.8.1)',
    '  ~ update Deployment kube-system/metrics-server (changed by kubectl-edit)',
    '      spec.replicas: 2 -> 1',
    '      spec.paused: true -> absent',
    '  - delete Namespace old',
  ])
  expect(countChanges([plan], 'addon')).toBe('1 addon: objects 1 to update, 1 to delete')
  expect(riskOf([plan])).toEqual(['delete Namespace old'])
  expect(addonChangeText({cluster: 'demo', dryRun: true, plans: [plan], steps: []}, options)).toContain(
    'nothing was changed',
  )
})

test('a status is a tree: addon, objects, problems, and what explains them', () => {
  const text = addonStatusText(
    {
      cluster: 'demo',
      isReady: false,
      addons: [
        {
          ...{id: 'cni', version: '1', revision: 2, state: 'deployed', isReady: false, otherObjects: 5},
          objects: [
            {
              ...{object: 'DaemonSet kube-flannel/kube-flannel-ds', isReady: false, isStuck: true},
              problems: ['available on 1 of 3 nodes'],
            },
          ],
          explanation: 'pod a: ImagePullBackOff\nlast line',
        },
      ],
    },
    options,
  )
  expect(text.split('\n')).toEqual([
    'cni 1, revision 2 deployed: not ready',
    '  ✗ DaemonSet kube-flannel/kube-flannel-ds',
    '      available on 1 of 3 nodes',
    '  and 5 more objects',
    '  pod a: ImagePullBackOff',
    '  last line',
    '',
    'demo: 0 of 1 addons ready',
  ])
})

test('parameters of the command line are YAML values at their paths', () => {
  expect(
    parametersOf(['replicas=3', 'tls.enabled=true', 'tls.name=a=b', 'addresses=[192.0.2.1/32]']),
  ).toEqual({
    replicas: 3,
    tls: {enabled: true, name: 'a=b'},
    addresses: ['192.0.2.1/32'],
  })
  for (const wrong of ['replicas', '=3', 'a..b=1', '__proto__.x=1', 'a=[1'])
    expect(() => parametersOf([wrong]), wrong).toThrow(/--set/)
  expect(({} as Record<string, unknown>)['x']).toBeUndefined()
})
