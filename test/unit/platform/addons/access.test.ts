import {expect, test} from 'vitest'
import {z} from 'zod'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {volumeSnapshotsAddon} from '../../../../src/platform/addons/volume-snapshots/addon.ts'
import {ENTRIES} from '../../../support/addon-entries.ts'
import {factsOf} from '../../../support/addon-golden.ts'
import {CLOUD_ADDONS, renderedIn} from '../../../support/cloud-addons.ts'

const ruleSchema = z.looseObject({
  apiGroups: z.array(z.string()).default([]),
  resources: z.array(z.string()).default([]),
  resourceNames: z.array(z.string()).default([]),
  nonResourceURLs: z.array(z.string()).default([]),
  verbs: z.array(z.string()),
})
type Rule = z.output<typeof ruleSchema>

/** Entries whose work is Secrets, in every namespace. */
const READS_SECRETS: Readonly<Record<string, string>> = {
  'cert-manager': 'certificates and their keys are Secrets',
  gateway: 'it serves the certificates that Gateways and Ingresses name',
}

const rendered: readonly (readonly [string, readonly KubeObject[]])[] = [
  ...ENTRIES.map(
    ({addon, parameters}) =>
      [addon.id, addon.objects(parameters, factsOf())] as [string, readonly KubeObject[]],
  ),
  [volumeSnapshotsAddon.id, volumeSnapshotsAddon.objects({}, factsOf())],
  ...(['aws', 'azure'] as const).flatMap((cloud) =>
    CLOUD_ADDONS[cloud].map(
      (addon) => [addon.id, renderedIn(cloud, addon)] as [string, readonly KubeObject[]],
    ),
  ),
]

const rulesOf = (objects: readonly KubeObject[], kind: 'Role' | 'ClusterRole'): readonly Rule[] =>
  objects
    .filter((object) => object.kind === kind)
    .flatMap((object) => z.array(ruleSchema).parse(object['rules'] ?? []))

const shown = ({apiGroups, resources, verbs}: Rule): string =>
  `${verbs.join(',')} ${resources.join(',')} of ${apiGroups.join(',')}`

test.for(rendered)('%s names every verb, kind and group that it may use', ([, objects]) => {
  const rules = [...rulesOf(objects, 'Role'), ...rulesOf(objects, 'ClusterRole')]
  const open = rules.filter(({apiGroups, resources, verbs, nonResourceURLs}) =>
    [...apiGroups, ...resources, ...verbs, ...nonResourceURLs].includes('*'),
  )
  expect(open.map(shown)).toEqual([])
})

test.for(rendered)('%s reads no Secret of others unless that is its work', ([id, objects]) => {
  const reads = rulesOf(objects, 'ClusterRole').filter(
    ({apiGroups, resources, resourceNames}) =>
      apiGroups.includes('') && resources.includes('secrets') && resourceNames.length === 0,
  )
  if (READS_SECRETS[id] === undefined) expect(reads.map(shown)).toEqual([])
  else expect(reads.length, `${id} needs no exception any longer`).toBeGreaterThan(0)
})

test.for(rendered)('%s cannot become somebody else', ([, objects]) => {
  const rules = [...rulesOf(objects, 'Role'), ...rulesOf(objects, 'ClusterRole')]
  const found = rules.filter(
    ({resources, verbs}) =>
      verbs.some((verb) => ['bind', 'escalate', 'impersonate'].includes(verb)) ||
      resources.some((name) =>
        ['nodes/proxy', 'pods/exec', 'pods/attach', 'pods/ephemeralcontainers'].includes(name),
      ) ||
      (resources.includes('serviceaccounts/token') && verbs.includes('create')),
  )
  expect(found.map(shown)).toEqual([])
})
