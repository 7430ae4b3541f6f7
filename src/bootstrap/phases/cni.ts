import {flannelObjects} from '../../platform/addons/cni/flannel.ts'
import {BundleError} from '../../bundle/errors.ts'
import type {ClouderPhase, PhaseContext} from './context.ts'
import {planObjects} from './objects.ts'

/** Pods get addresses and reach each other. */
export const cniPhase: ClouderPhase = {
  id: 'cni',
  title: 'Installing the pod network',

  async plan(context) {
    const {cni: kind, podCidr} = context.spec.network
    if (kind === 'none') return []
    const image = imageOf(context, 'flannel')
    return planObjects(context, flannelObjects({image, podCidr, api: context.endpoint.internal}))
  },
}

/** The reference under which the bundle carries an image. */
function imageOf(context: PhaseContext, name: string): string {
  const arch = context.hosts[0]?.facts.arch ?? 'amd64'
  const image = context.bundles(arch).lock.images.find((item) => item.name === name)
  if (image === undefined) throw new BundleError('BUNDLE_NOT_CLOSED', `the bundle has no image ${name}`)
  return image.reference
}
