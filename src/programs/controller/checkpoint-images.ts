import {API_VERSION, CHECKPOINT_IMAGES_LABEL, RESTORE_LABEL} from '../../api/names.ts'
import {labelValue, objectName} from '../../api/object-names.ts'
import {podSchema, type ContainerStatus} from '../../kubernetes/pod.ts'
import {kubeObjectSchema} from '../../kubernetes/types.ts'
import {z} from 'zod'
import {ensure, refusalOf} from '../../operator/writes.ts'
import {refTo, type ReconcileContext} from './reconcile-context.ts'

/** Why pods with images of checkpoints may not run in a namespace, which the API server would say too; undefined: they may. */
export async function namespaceProblem(
  namespace: string | undefined,
  {kube}: ReconcileContext,
): Promise<string | undefined> {
  const name = namespace ?? 'default'
  const found = await kube.get({apiVersion: 'v1', kind: 'Namespace', name})
  if (found?.metadata.labels?.[CHECKPOINT_IMAGES_LABEL] === 'true') return undefined
  return `namespace ${name} does not allow checkpoint images: it lacks the label ${CHECKPOINT_IMAGES_LABEL}=true`
}

const templateSchema = z.looseObject({
  serviceAccountName: z.string().optional(),
  imagePullSecrets: z.array(z.looseObject({})).optional(),
})

/** Why an image was not fetched; anything else comes after it was. */
const NOT_PULLED = ['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'RegistryUnavailable']
const NOT_YET = ['ContainerCreating', 'PodInitializing']

export type Pull =
  {readonly state: 'pulled'} | {readonly state: 'pulling'} | {readonly state: 'failed'; readonly why: string}

/**
 * Has the kubelet of a node fetch images with the credentials of the pod that they are for: by a pod that names them,
 * and that starts nothing. Call it again until it is over; the pod is gone then.
 */
export async function pullImages(
  wanted: {
    /** The Restore or Migration that they are for; the pod goes with it. */
    readonly owner: {
      readonly kind: 'Restore' | 'Migration'
      readonly name: string
      readonly uid?: string | undefined
    }
    readonly namespace: string
    readonly node: string
    readonly images: readonly string[]
    /** Of the pod to be restored. */
    readonly spec: unknown
  },
  context: ReconcileContext,
): Promise<Pull> {
  const {owner, namespace, node, images, spec} = wanted
  const {serviceAccountName, imagePullSecrets} = templateSchema.parse(spec)
  const name = objectName([owner.name, 'pull'])
  const made = await ensure(
    kubeObjectSchema.parse({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace,
        // The label of a Migration is that of the pod it makes.
        ...(owner.kind === 'Restore' ? {labels: {[RESTORE_LABEL]: labelValue(owner.name)}} : {}),
        ...(owner.uid === undefined ? {} : {ownerReferences: [{apiVersion: API_VERSION, ...owner}]}),
      },
      spec: {
        nodeName: node,
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        terminationGracePeriodSeconds: 0,
        tolerations: [{operator: 'Exists'}],
        // Nothing is to run: no image has this program, and as root none would be let.
        securityContext: {runAsNonRoot: true, seccompProfile: {type: 'RuntimeDefault'}},
        containers: images.map((image, index) => ({
          name: `image-${index}`,
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['/clouder-pulls-this-image'],
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ['ALL']}},
        })),
        ...(serviceAccountName === undefined ? {} : {serviceAccountName}),
        ...(imagePullSecrets === undefined ? {} : {imagePullSecrets}),
      },
    }),
    context,
  ).catch(refusalOf)
  if (typeof made === 'string') return {state: 'failed', why: made}
  const pod = podSchema.parse(made)
  const statuses = pod.status.containerStatuses ?? []
  const failed = statuses.find(({state}) => NOT_PULLED.includes(state?.waiting?.reason ?? ''))
  const isOver = failed !== undefined || (statuses.length === images.length && statuses.every(isPulled))
  if (!isOver) return {state: 'pulling'}
  await context.kube.delete(refTo('Pod', name, namespace), {uid: pod.metadata.uid})
  if (failed === undefined) return {state: 'pulled'}
  return {state: 'failed', why: failed.state?.waiting?.message ?? `node ${node} could not pull an image`}
}

const isPulled = ({state}: ContainerStatus): boolean =>
  state?.terminated !== undefined ||
  state?.running !== undefined ||
  (state?.waiting?.reason !== undefined && !NOT_YET.includes(state.waiting.reason))
