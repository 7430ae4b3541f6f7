import {createHash} from 'node:crypto'
import {z} from 'zod'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import {kubeObjectSchema, type KubeObject, type KubeReader} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {definedScopes, groupAndKind, type Discovery} from './discovery.ts'
import {isReference, resolveReferences, type Reference} from './references.ts'
import {withData, type SecretValues} from './secrets.ts'

/** Everything that it takes to apply a service again later. It holds no value of a Secret. */
export const contentSchema = z.strictObject({
  /** Of the chart, or a digest of the objects. */
  version: z.string(),
  /** Whether there are references in it; what a chart renders has none. */
  isTemplate: z.boolean(),
  objects: z.array(kubeObjectSchema),
  /** Jobs that a chart has as hooks. */
  before: z.array(kubeObjectSchema),
  after: z.array(kubeObjectSchema),
})
export type Content = z.output<typeof contentSchema>

/** Values of Secrets that are written out are left out of what is kept: they are null there. */
export function withoutSecretValues(object: KubeObject): KubeObject {
  if (object.kind !== 'Secret' || object.apiVersion !== 'v1') return object
  const hidden = (values: unknown): unknown =>
    typeof values === 'object' && values !== null
      ? Object.fromEntries(
          Object.entries(values).map(([key, value]) => [key, isReference(value) ? value : null]),
        )
      : values
  const {data, stringData, ...rest} = object
  return {
    ...rest,
    ...(data === undefined ? {} : {data: hidden(data)}),
    ...(stringData === undefined ? {} : {stringData: hidden(stringData)}),
  }
}

const secretSchema = z.looseObject({
  data: z.record(z.string(), z.unknown()).nullish(),
  stringData: z.record(z.string(), z.unknown()).nullish(),
})

/** A kept object, complete again: values of Secrets that were left out are those that the cluster has now. */
export async function withLiveValues(object: KubeObject, kube: KubeReader): Promise<KubeObject> {
  if (object.kind !== 'Secret' || object.apiVersion !== 'v1') return object
  const {data, stringData} = secretSchema.parse(object)
  const isLeftOut = ([, value]: readonly [string, unknown]): boolean => value === null
  const absent = [...Object.entries(data ?? {}), ...Object.entries(stringData ?? {})].filter(isLeftOut)
  if (absent.length === 0) return object
  const live = secretSchema.parse((await kube.get(refOf(object))) ?? {}).data ?? {}
  const gone = absent.map(([key]) => key).filter((key) => typeof live[key] !== 'string')
  if (gone.length > 0) {
    throw new PlatformError(
      'REFERENCE_MISSING',
      `${describeRef(refOf(object))} no longer has ${gone.join(', ')}, whose value a revision does not hold`,
      {suggestions: ['clouder stack apply FILE: the files hold it']},
    )
  }
  const kept = (values: Readonly<Record<string, unknown>> | null | undefined) =>
    Object.fromEntries(Object.entries(values ?? {}).filter((entry) => !isLeftOut(entry)))
  const filled = Object.fromEntries(absent.map(([key]) => [key, live[key]]))
  return {...object, data: {...kept(data), ...filled}, stringData: kept(stringData)}
}

export function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12)
}

export interface PlacingTools {
  readonly discovery: Discovery
  /** All objects of the stack that are known: kinds may be defined there. */
  readonly others: readonly KubeObject[]
}

/** Objects of kinds that are in a namespace, and name none, are in that of the service. */
export async function inNamespace(
  objects: readonly KubeObject[],
  namespace: string,
  {discovery, others}: PlacingTools,
): Promise<readonly KubeObject[]> {
  const defined = definedScopes([...objects, ...others])
  return Promise.all(
    objects.map(async (object) => {
      if (object.metadata.namespace !== undefined) return object
      const isNamespaced = defined.get(groupAndKind(object)) ?? (await discovery.isNamespaced(object))
      // A kind that is not known yet: most are in a namespace, and it is known when it is applied.
      return isNamespaced === false ? object : {...object, metadata: {...object.metadata, namespace}}
    }),
  )
}

/** The objects as they are applied. Throws PlatformError SECRET_EXPOSED. */
export async function resolvedObjects(
  {isTemplate, objects}: Pick<Content, 'isTemplate' | 'objects'>,
  valueOf: (reference: Reference) => string,
  kube: KubeReader,
): Promise<readonly KubeObject[]> {
  return Promise.all(
    objects.map(async (object) => {
      const complete = await withLiveValues(object, kube)
      const resolved = isTemplate ? kubeObjectSchema.parse(resolveReferences(complete, valueOf)) : complete
      return withData(resolved)
    }),
  )
}

/** Refuses objects that hold a value of a Secret, and are none: plans and revisions would show it. */
export function refuseExposed(service: string, objects: readonly KubeObject[], secrets: SecretValues): void {
  const exposed = objects.flatMap((object) => secrets.exposedBy(object) ?? [])
  if (exposed.length === 0) return
  throw new PlatformError(
    'SECRET_EXPOSED',
    `service ${service} would put the value of a Secret into ${exposed.join(', ')}`,
    {suggestions: ['use the setting of the chart that names an existing Secret, such as existingSecret']},
  )
}
