import {z} from 'zod'
import type {KubeReader} from '../../kubernetes/types.ts'
import type {StoredReference} from './references.ts'

/** Reads values of Secrets and ConfigMaps, each object once, by name only. */
export interface StoredValues {
  /** Undefined: there is no such object, or it has no such key. */
  readonly get: (reference: StoredReference, namespace: string) => Promise<string | undefined>
}

const dataSchema = z.looseObject({
  data: z.record(z.string(), z.string()).nullish(),
  binaryData: z.record(z.string(), z.string()).nullish(),
})
type Data = z.output<typeof dataSchema>

export function storedValuesOf(kube: KubeReader): StoredValues {
  const read = new Map<string, Promise<Data | undefined>>()
  const objectOf = (kind: string, namespace: string, name: string): Promise<Data | undefined> => {
    const key = `${kind} ${namespace}/${name}`
    const known =
      read.get(key) ??
      kube.get({apiVersion: 'v1', kind, namespace, name}).then((object) => {
        return object === undefined ? undefined : dataSchema.parse(object)
      })
    read.set(key, known)
    return known
  }
  return {
    get: async ({kind, name, key, namespace, encoding}, usual) => {
      const isSecret = kind === 'secret'
      const object = await objectOf(isSecret ? 'Secret' : 'ConfigMap', namespace ?? usual, name)
      const value = object?.data?.[key]
      if (!isSecret) return value ?? decoded(object?.binaryData?.[key])
      return encoding === 'base64' ? value : decoded(value)
    },
  }
}

const decoded = (value: string | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8')
