import {isAbsolute, normalize} from 'node:path/posix'
import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import {defineAddon} from '../addon.ts'
import {localPathObjects} from './objects.ts'
import {ADDON, STORAGE_CLASS} from './names.ts'
import {smokeLocalPath} from './smoke.ts'

const isCloud = ({provider}: ClusterSpec): boolean => provider.kind === 'aws' || provider.kind === 'azure'

/** Volumes on the disks of the nodes. */
export const localPathStorageAddon = defineAddon({
  id: ADDON,
  title: 'Local path storage',
  version: '0.0.30',
  description: 'volumes in a folder of the node of their pod: StorageClass local-path',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['default-storage-class'],
  images: ['local-path-provisioner', 'shell'],
  parameters: (spec) =>
    z.strictObject({
      path: z
        .string()
        .refine((path) => isAbsolute(path) && normalize(path) === path && !path.endsWith('/'), {
          error: 'expected an absolute path such as /var/lib/local-path',
        })
        .default('/var/lib/local-path')
        .describe('folder on every node that holds the volumes'),
      default: z
        .boolean()
        .default(!isCloud(spec))
        .describe(
          'whether claims that name no class get this one; default: true on local and byon, false on aws and azure',
        ),
      reclaimPolicy: z
        .enum(['Delete', 'Retain'])
        .default('Delete')
        .describe('what happens to the data of a volume when its claim is deleted'),
    }),
  unavailable: (spec) =>
    isCloud(spec) && !spec.addons.install.includes(ADDON)
      ? `provider ${spec.provider.kind} has volumes that survive their node; to use disks of nodes as well, list ${ADDON} in spec.addons.install`
      : undefined,
  objects: (parameters, {image}) =>
    localPathObjects({
      ...parameters,
      image: image('local-path-provisioner'),
      shell: image('shell'),
    }),
  usedBy: usesOf,
  smoke: {
    proves: 'what was written is read back by another pod; a larger size is refused',
    run: smokeLocalPath,
  },
})

const classSchema = z.looseObject({storageClassName: z.string().optional()})

async function usesOf(kube: KubeReader): Promise<readonly string[]> {
  const kinds = ['PersistentVolumeClaim', 'PersistentVolume']
  const lists = await Promise.all(kinds.map((kind) => kube.list({apiVersion: 'v1', kind})))
  return lists
    .flat()
    .filter((object) => classSchema.parse(object['spec'] ?? {}).storageClassName === STORAGE_CLASS)
    .map(({kind, metadata: {name, namespace}}) => {
      const at = namespace === undefined ? name : `${namespace}/${name}`
      return `${kind} ${at} uses StorageClass ${STORAGE_CLASS}`
    })
}
