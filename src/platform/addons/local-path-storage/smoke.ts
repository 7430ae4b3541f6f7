import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {SmokeTools} from '../addon.ts'
import {claim, deleteClaim, proveClaim} from '../claims.ts'
import {STORAGE_CLASS} from './names.ts'

const NAME = 'local-path'

/** Data survives its pod; a volume cannot grow, and whoever tries gets the reason; the volume is deleted with its claim. */
export async function smokeLocalPath(tools: SmokeTools): Promise<void> {
  const {kube, namespace, signal, progress} = tools
  await kube.apply([claim(namespace, {name: NAME, storageClassName: STORAGE_CLASS})], signal)
  await proveClaim(tools, NAME)
  progress('a larger size is refused')
  await refusesExpansion(tools)
  progress('deleting the claim')
  await deleteClaim(tools, NAME)
}

async function refusesExpansion({kube, namespace}: SmokeTools): Promise<void> {
  const ref = {apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name: NAME}
  try {
    await kube.patch(ref, {spec: {resources: {requests: {storage: '128Mi'}}}})
  } catch (error) {
    if (error instanceof KubernetesError && error.code === 'API_REJECTED' && error.answer?.status === 403)
      return
    throw error
  }
  throw new KubernetesError(
    'SMOKE_TEST_FAILED',
    `PersistentVolumeClaim ${namespace}/${NAME} accepted a larger size, which StorageClass ${STORAGE_CLASS} cannot provide`,
  )
}
