import {z} from 'zod'
import {jsonOf} from '../../base/json.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'

/** What an API server serves, each group version read once and only when it is needed. */
export interface Discovery {
  /** `1.35.4`. */
  readonly kubeVersion: () => Promise<string>
  /** Undefined: the server does not serve the kind. */
  readonly isNamespaced: (object: KubeObject) => Promise<boolean | undefined>
  /** Everything, as charts ask for it: `apps/v1`, `apps/v1/Deployment`. */
  readonly apiVersions: () => Promise<readonly string[]>
}

const versionSchema = z.looseObject({gitVersion: z.string()})
const groupsSchema = z.looseObject({
  groups: z.array(z.looseObject({versions: z.array(z.looseObject({groupVersion: z.string()}))})),
})
const resourcesSchema = z.looseObject({
  resources: z.array(z.looseObject({name: z.string(), kind: z.string(), namespaced: z.boolean()})),
})

export function discoveryOf(kube: KubeReader, signal: AbortSignal): Discovery {
  const kinds = new Map<string, Promise<ReadonlyMap<string, boolean>>>()
  const kindsOf = (groupVersion: string): Promise<ReadonlyMap<string, boolean>> => {
    const known = kinds.get(groupVersion) ?? readKinds(kube, groupVersion, signal)
    kinds.set(groupVersion, known)
    return known
  }
  return {
    kubeVersion: async () => {
      const {gitVersion} = versionSchema.parse(jsonOf((await kube.fetch('/version', signal)).body))
      return gitVersion.replace(/^v/, '')
    },
    isNamespaced: async ({apiVersion, kind}) => {
      const known = (await kindsOf(apiVersion)).get(kind)
      if (known !== undefined) return known
      // It may be defined since: by a service that was applied before this one.
      kinds.delete(apiVersion)
      return (await kindsOf(apiVersion)).get(kind)
    },
    apiVersions: async () => {
      const {groups} = groupsSchema.parse(jsonOf((await kube.fetch('/apis', signal)).body))
      const versions = [
        'v1',
        ...groups.flatMap((group) => group.versions.map(({groupVersion}) => groupVersion)),
      ]
      const all = await Promise.all(
        versions.map(async (version) =>
          [...(await kindsOf(version)).keys()].map((kind) => `${version}/${kind}`),
        ),
      )
      return [...versions, ...all.flat()]
    },
  }
}

async function readKinds(
  kube: KubeReader,
  groupVersion: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, boolean>> {
  const root = groupVersion.includes('/') ? '/apis' : '/api'
  const {status, body} = await kube.fetch(`${root}/${groupVersion}`, signal)
  // Not served, or its own server is away, for which kinds of others need not wait.
  if (status !== 200) return new Map()
  const {resources} = resourcesSchema.parse(jsonOf(body))
  return new Map(
    resources.filter(({name}) => !name.includes('/')).map(({kind, namespaced}) => [kind, namespaced]),
  )
}

const definitionSchema = z.looseObject({
  spec: z.looseObject({group: z.string(), scope: z.string(), names: z.looseObject({kind: z.string()})}),
})

/** Scope of the kinds that these objects define, by group and kind: `cert-manager.io Issuer`. */
export function definedScopes(objects: readonly KubeObject[]): ReadonlyMap<string, boolean> {
  return new Map(
    objects
      .filter(({kind}) => kind === 'CustomResourceDefinition')
      .flatMap((object) => {
        const parsed = definitionSchema.safeParse(object)
        if (!parsed.success) return []
        const {group, names, scope} = parsed.data.spec
        return [[`${group} ${names.kind}`, scope === 'Namespaced'] as const]
      }),
  )
}

/** The key of `definedScopes` for an object. */
export const groupAndKind = ({apiVersion, kind}: KubeObject): string =>
  `${apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''} ${kind}`
